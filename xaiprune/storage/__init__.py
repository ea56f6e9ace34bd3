"""Where studies are stored: URLs, locks, journals, heartbeats, and abandoned trials."""

from xaiprune.storage.connect import (
    LOCK_SECONDS,
    has_heartbeats,
    open_storage,
    open_to_read,
    plain_errors,
    quiet,
    require_file,
)
from xaiprune.storage.heartbeat import beating
from xaiprune.storage.journal import is_journal, open_journal
from xaiprune.storage.lock import storage_lock
from xaiprune.storage.private import StudyView, storage_of, study_id, trial_id
from xaiprune.storage.reading import connect_to_read, may_write
from xaiprune.storage.stale import REASON, RETRY_OF, WORKER, recover, retry, running, sign
from xaiprune.storage.urls import (
    JOURNAL,
    absolute_url,
    file_url,
    journal_file,
    require_driver,
    shown,
    sqlite_file,
    storage_file,
)

__all__ = [
    "JOURNAL",
    "LOCK_SECONDS",
    "REASON",
    "RETRY_OF",
    "WORKER",
    "StudyView",
    "absolute_url",
    "beating",
    "connect_to_read",
    "file_url",
    "has_heartbeats",
    "is_journal",
    "journal_file",
    "may_write",
    "open_journal",
    "open_storage",
    "open_to_read",
    "plain_errors",
    "quiet",
    "recover",
    "require_driver",
    "require_file",
    "retry",
    "running",
    "shown",
    "sign",
    "sqlite_file",
    "storage_file",
    "storage_lock",
    "storage_of",
    "study_id",
    "trial_id",
]
