"""Sets in object stores: S3, Google Cloud Storage, Azure, and `file://` URLs of directories.

The objects of a set are below its URL (`layout`): its small files, shards whose names have their checksums, and the
manifest in numbered segments (`segments`). A local directory, the mirror, has the small files, the manifest and some of
the shards (`mirror`); all other code reads it like any set.
"""
