"""Copy a set into an object store: every shard is compared with its checksum before it is uploaded.

The same command continues a copy that was interrupted, and uploads the objects that are missing in a copy.
"""

from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

from ..errors import EpochbankError
from ..shared.atomic import make_directory
from ..shared.lock import writing
from ..shared.progress import Progress
from ..shared.reading_lock import ReadingLock
from ..shared.signals import interrupted
from ..store.description import Description, read_description
from ..store.digest import file_checksum
from ..store.manifest import Entry, entry_of_line, last_lines, line_of_entry, retirement
from ..store.objects.bucket import Bucket
from ..store.objects.cache import default_cache
from ..store.objects.layout import DESCRIPTION, shard_object
from ..store.objects.mirror import Mirror, mirror_name, remote_url
from ..store.objects.probe import check_conditional_writes
from ..store.objects.publisher import Publisher
from ..store.objects.urls import name_of
from ..store.presence import fault_of
from ..store.split_file import check_split
from .copy import Copied, selected_shards
from .selection import Epochs


def copy_to_store(directory: Path, dest: str, url: str, *, epochs: Epochs = None, quiet: bool = False) -> Copied:
    """Copy what is published of the set in `directory` to `url`, an object store.

    Parameters
    ----------
    directory
        The set.
    dest
        The URL as it was given: if it ends in a slash, the copy is at `url`/NAME.
    url
        The URL without the slash.
    epochs
        Stored epochs, without a gap; None for all that are published.
    quiet
        Show no progress.

    Raises
    ------
    EpochbankError
        If the set is damaged or unfinished, another set is at the URL, the store ignores conditional writes or cannot
        be used, or another run writes there.
    """
    if remote_url(directory) is not None:
        raise EpochbankError(
            f"{remote_url(directory)} is in an object store; expected a local set. Copy it to a local directory first.",
            usage=True,
        )
    bucket = Bucket(f"{url}/{directory.absolute().name}" if dest.endswith("/") else url)
    with closing(ReadingLock(directory)):  # Before the manifest is read: nothing that it lists is deleted.
        description = read_description(directory)
        check_split(directory, description.split_checksum)
        entries, numbers = selected_shards(directory, description, epochs)
        check_conditional_writes(bucket)
        root = default_cache() / "copies"
        make_directory(root)
        name = mirror_name(bucket.url, description.fingerprint)
        with (
            writing(root / f"{name}.lock", what=Path(name_of(bucket.url))),
            TemporaryDirectory(prefix=f"{name}-", dir=root) as folder,
        ):
            mirror = Mirror(Path(folder), bucket)
            listed = _begin(mirror, directory, description)
            lines = [line for line in map(line_of_entry, entries) if line not in listed]
            if numbers[0]:
                lines += {line_of_entry(retirement(numbers[0] - 1))} - listed
            _check_readable(mirror, lines)
            missing = [entry for entry in entries if line_of_entry(entry) in listed and not _is_there(bucket, entry)]
            _upload(mirror, directory, missing, lines, quiet)
            mirror.upload_small_files()
    return Copied(directory, directory, numbers, len(entries), sum(entry.bytes for entry in entries), url=bucket.url)


def _begin(mirror: Mirror, directory: Path, description: Description) -> set[bytes]:
    """Begin the copy, or continue it; return the lines that it lists."""
    document = mirror.bucket.get(DESCRIPTION)
    for name in (DESCRIPTION, "split.h5", "log.jsonl", "tags.json"):
        if (directory / name).exists():
            (mirror.directory / name).write_bytes((directory / name).read_bytes())
    if document is None:
        mirror.begin(description)
        return set()
    other = mirror.pull()
    if other.fingerprint != description.fingerprint:
        raise EpochbankError(
            f"{mirror.bucket.url} is another set, with fingerprint {other.fingerprint[:8]}; expected none, or one with "
            f"fingerprint {description.fingerprint[:8]}. Choose another URL."
        )
    return set(mirror.lines())


def _check_readable(mirror: Mirror, lines: list[bytes]) -> None:
    """Raise `EpochbankError` if no reader would accept the manifest with these lines, which nothing can remove."""
    try:
        last_lines(mirror.directory, [entry_of_line(line) for line in [*mirror.lines(), *lines]])
    except EpochbankError as error:
        raise EpochbankError(
            f"{mirror.bucket.url} has the same set in shards of another size; expected none, or the shards of this "
            "copy. Copy the set to another URL."
        ) from error


def _is_there(bucket: Bucket, entry: Entry) -> bool:
    found = bucket.head(shard_object(entry))
    return found is not None and found.bytes == entry.bytes


def _upload(mirror: Mirror, directory: Path, missing: list[Entry], lines: list[bytes], quiet: bool) -> None:
    """Upload the shards that are listed and missing, then those of `lines`, and list these."""
    new = [entry_of_line(line) for line in lines]
    publisher = Publisher(mirror)
    try:
        with Progress("copy", sum(entry.num_images for entry in missing + new), quiet=quiet) as progress:
            for entry in missing:
                _check(directory, entry)
                mirror.bucket.upload(shard_object(entry), directory / entry.file)
                progress.advance(entry.num_images)
            for line, entry in zip(lines, new, strict=True):
                if entry.num_images:
                    _check(directory, entry)
                publisher.add(line, directory / entry.file)
                progress.advance(entry.num_images)
            publisher.finish()
    except KeyboardInterrupt as error:
        publisher.abandon()
        raise interrupted(error, "What is uploaded is kept. Run the same command to continue.") from None
    except BaseException:
        publisher.abandon()
        raise


def _check(directory: Path, entry: Entry) -> None:
    path = directory / entry.file
    fault = fault_of(path, entry)
    if not fault and file_checksum(path) != entry.checksum:
        fault = "the file was changed: its checksum is wrong"
    if fault:
        raise EpochbankError(
            f"{path} is damaged ({fault}), so the copy is unfinished. Run `augment repair {directory}`, then "
            "copy again."
        )
