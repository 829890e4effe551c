"""Names of objects in a bucket: which are this project's own, and which are an uploader's temporary ones."""

from __future__ import annotations

import re

_TEMPORARY = re.compile(
    r"""
      (^|/)gcloud/tmp/parallel_composite_uploads/    # gcloud storage: parts of a parallel composite upload
    | (^|/)\d{1,11}_[0-9a-f]{40}_\d+$                # the same parts, below a component prefix of the user's own
    | (^|/)gsutil/tmp/parallel_composite_uploads/    # gsutil: the same, below a random number
    | (^|/)gcs-go-sdk-pu-tmp/                        # Google's Go client: parts of a parallel upload
    | [^/;]{22};[^/;]{22};\d{4,}(-\d{4,})?\.part$    # Google's Java client and Hadoop connector: beside the object itself
    | (^|/)_GCS_SYNCABLE_TEMPFILE_[^/]*$             # Google's Hadoop connector: tail of a file that is flushed
    | (^|/)_temporary/                               # Hadoop and Spark: output of a job that is not committed
    | (^|/)\.spark-staging-[^/]+/                    # Spark: partitions that are not committed
    | \._COPYING_$                                   # hadoop fs -put, before it renames
    | (^|/)\.distcp\.tmp\.[^/]*$                     # hadoop distcp, before it renames
    | (^|/)\.temp-beam[^/]*/                         # Beam and Dataflow: output of a job that is not committed
    | (^|/)\.gcsfuse_tmp/                            # gcsfuse: what is appended to a file
    | \.[a-z0-9]{8}\.partial$                        # rclone, onto a gcsfuse mount, before it renames
    """,
    re.VERBOSE,
)


def is_temporary(object_name: str) -> bool:
    """Return whether an upload tool made this object for its own use, and will compose, rename or delete it.

    Only names that no person gives: what is wrongly ignored is a lost upload, what is wrongly taken is a rejected
    candidate. So `.tmp`, `.part` or a leading dot alone decide nothing. Resumable and XML multipart uploads (the Cloud
    console, the Python client, rclone to Cloud Storage itself) leave no such objects. For Storage Transfer Service no
    such name was found.

    Sources: copy_component_util.py of the gcloud CLI, copy_helper.py of gsutil, `ParallelUploadConfig` and
    `PartNamingStrategy` of the Go and Java clients, GoogleHadoopSyncableOutputStream, Hadoop's FileOutputCommitter,
    CommandWithDestination and RetriableFileCopyCommand, Spark's HadoopMapReduceCommitProtocol, Beam's FileBasedSink,
    `TmpObjectPrefix` of gcsfuse, operations/copy.go of rclone; read in November 2026.
    """
    return _TEMPORARY.search(object_name) is not None


ROOT = "genops/"
"""Everything that genops-events writes lies below this prefix, outside every watched one."""
