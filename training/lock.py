"""One process at a time writes a run folder."""

import errno
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from training import distributed
from training.errors import TrainingError

WITHOUT_LOCKS = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK}


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Lock a folder, which is made if it is not there, for as long as the block runs.

    The lock is the operating system's, on ``run.lock`` in the folder, so it ends with the process, however that ends.
    The file stays. Under ``torchrun`` process 0 takes the lock, and a refusal is raised in every process.

    Raises:
        TrainingError: if another process writes the folder, or the folder can't be made.
    """
    lock = FileLock(folder / "run.lock", blocking=False, fallback_to_soft=False)
    distributed.by_process_0(lambda: take(lock, folder))
    try:
        yield
    finally:
        lock.release()


def take(lock: FileLock, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise TrainingError(
            f"{folder} is being written by another process: wait until it ends, or name another folder with --run"
        ) from None
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise TrainingError(f"{folder} can't be written ({error.strerror}): name another with --run") from None
        warnings.warn(f"{folder} is on storage without file locks: start only one process on it", stacklevel=2)
