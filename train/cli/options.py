"""Options that several commands of stage 2 share."""

from pathlib import Path

import click

from ...augment.console import Bytes, Choice

sets_option = click.option("--sets", type=click.Path(path_type=Path), default="sets", help="Directory of the sets.")
trust_option = click.option("--trust", is_flag=True,
                            help="Import the module of the run's model, if that is a function. Only for runs that you "
                            "trust.")  # fmt: skip
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
batch_size_option = click.option("--batch-size", type=click.IntRange(1), default=256, help="Images per batch.")
training_batch_size_option = click.option("--batch-size", type=click.IntRange(1),
                                          help="Images per batch.  [default: 256, fewer for a small "
                                          "set]")  # fmt: skip
threads_option = click.option("--threads", type=click.IntRange(1),
                              help="Number of decoding threads.  [default: one per core, up to 4]")  # fmt: skip
precision_option = click.option("--precision", type=Choice(["float32", "mixed_float16", "mixed_bfloat16"]),
                                default="float32",
                                help="Keras dtype policy. Mixed precision is faster on recent GPUs.")  # fmt: skip
rank_option = click.option("--rank", type=click.IntRange(0),
                           help="Number of this process, from 0, among --world-size processes that train one "
                           "model.  [default: 0]")  # fmt: skip
world_size_option = click.option("--world-size", type=click.IntRange(1),
                                 help="Number of processes among which the training images are divided.  "
                                 "[default: 1]")  # fmt: skip
coordinator_option = click.option("--coordinator", metavar="HOST:PORT",
                                  help="Address at which rank 0 listens while the processes connect; any free port of "
                                  "its node.  [default: set by torchrun or srun]")  # fmt: skip
originals_option = click.option("--originals", type=click.FloatRange(0, 1), default=0.5,
                                help="Share of originals in each batch, 0 to 1; 1 trains on originals "
                                "only.")  # fmt: skip
shuffle_option = click.option("--shuffle", type=Choice(["images", "chunks", "shards"], old={"pictures": "images"}),
                              default="images",
                              help="Unit of shuffling. `chunks` shuffles whole chunks only, which is faster if "
                              "decoding is the bottleneck. `shards` shuffles within a few shards at a time, for a set "
                              "in an object store and a small --cache-size.")  # fmt: skip
cache_option = click.option("--cache", type=click.Path(path_type=Path), metavar="DIR",
                            help="Directory for shards of sets in object stores.  [default: $EPOCHBANK_CACHE, or "
                            "epochbank in the user's cache]")  # fmt: skip
cache_size_option = click.option("--cache-size", type=Bytes(), metavar="SIZE",
                                 help="Largest size of --cache, such as 50GB.  [default: half of the disk space that "
                                 "is free or cached]")  # fmt: skip


def _share(context: click.Context, parameter: click.Parameter, value: str) -> float | str:
    """Return a number as such; `parse_originals` reports what is neither a number nor a schedule."""
    try:
        return float(value)
    except ValueError:
        return value


schedule_option = click.option("--originals", metavar="F|F:F", default="0.5", callback=_share,
                               help="Share of originals in each batch, 0 to 1; 1 trains on originals only. Two shares, "
                               "such as 0.3:0.9, are those of the first and the last epoch.")  # fmt: skip
final_option = click.option("--final", metavar="NAME|FILE", type=click.Path(),
                            help="Final augmentation of every training image while training: a built-in one "
                            "(characters, photo), or a TOML file.")  # fmt: skip
model_option = click.option("--model", default="cnn-small", metavar="NAME|MODULE:FUNCTION",
                            help="Built-in model (cnn-small, cnn), or a function of (shape, classes) that returns a "
                            "Keras model.")  # fmt: skip
learning_rate_option = click.option("--learning-rate", type=click.FloatRange(0, min_open=True), default=0.002,
                                    help="Peak learning rate of Adam (5 % linear warm-up, then cosine "
                                    "decay).")  # fmt: skip
