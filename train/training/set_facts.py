"""What a run records of the set that it is trained on."""

from typing import Any

from ..reading.stored_set import StoredSet


def named(stored_set: StoredSet) -> dict[str, Any]:
    """Return how a run names its set; one in an object store with the cache that its shards are fetched into."""
    named = {"path": str(stored_set.path.resolve()), "fingerprint": stored_set.description.fingerprint}
    if stored_set.remote is None:
        return named
    cache = stored_set.remote.cache
    return {**named, "url": stored_set.name, "cache": str(cache.root), "cache_size": cache.size}


def set_facts(stored_set: StoredSet) -> dict[str, Any]:
    """Return what the set is and holds, as JSON values, so that a report of the run does not need the set."""
    description = stored_set.description
    return {
        "name": description.name,
        "source": description.source["spec"],
        "recipe": description.recipe,
        "recipe_settings": description.identity["recipe"],
        "seed": description.identity["seed"],
        "split": description.identity["split"],
        "per_class": description.per_class,
        "num_images": stored_set.num_images,
        "codec": stored_set.codec,
        "bytes": sum(entry.bytes for entry in stored_set.entries),
    }
