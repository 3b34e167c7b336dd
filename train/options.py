"""Options that several commands of stage 2 have."""

import re
from pathlib import Path

import click

sets_option = click.option("--sets", type=click.Path(path_type=Path), default="sets", help="Directory of the sets.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
batch_size_option = click.option("--batch-size", type=click.IntRange(1), default=256, help="Pictures in a batch.")
threads_option = click.option("--threads", type=click.IntRange(1),
                        help="Decoding threads.  [default: a core each, up to 4]")  # fmt: skip
precision_option = click.option("--precision", type=click.Choice(["float32", "mixed_float16", "mixed_bfloat16"]),
                          default="float32", help="Mixed precision makes recent GPUs faster.")  # fmt: skip


class _Shard(click.ParamType):
    """`k/n`: the k-th of n readers, counted from 0."""

    name = "K/N"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        found = re.fullmatch(r"(\d+)/(\d+)", str(value))
        if not found or not int(found[1]) < int(found[2]):
            self.fail(
                f"{value!r}; expected K/N with 0 <= K < N, such as 0/4 for the first of four readers.", param, ctx
            )
        return int(found[1]), int(found[2])


shard_option = click.option("--shard", type=_Shard(),
                      help="Read the K-th of N parts of the training pictures, K from 0: for N processes that train "
                      "one model.")  # fmt: skip
mix_option = click.option(
    "--mix", type=click.FloatRange(0, 1), default=0.5, help="Share of originals in a batch; 1: originals alone."
)
shuffle_option = click.option("--shuffle", type=click.Choice(["pictures", "chunks"]), default="pictures",
                              help="Shuffle pictures, or whole chunks of them alone: faster where data is the "
                              "bottleneck.")  # fmt: skip
