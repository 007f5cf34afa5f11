"""The schema of the control plane's database: what goes wrong with its migrations is told in one line."""

import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from cli.errors import CliError
from migrations import runner, versions

SCRIPTS = Path(versions.__file__).parent


@contextmanager
def failures_told(too_new: str = "") -> Iterator[None]:
    """Raises CliError for whatever a migration raises.  `too_new`: what to do about a database of a later release."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", module=r"alembic\.script")  # it warns of a broken chain, then stumbles over it
            yield
    except (CliError, PermissionError):
        raise
    except TimeoutError as e:
        raise CliError(str(e)) from e
    except runner.DatabaseTooNew as e:
        raise CliError(str(e), too_new) from e
    except SQLAlchemyError as e:
        reason = str(getattr(e, "orig", None) or type(e).__name__)
        raise CliError(f"the database says: {reason}", "check [database] connection in the configuration") from e
    except CommandError as e:
        raise CliError(f"the database can't be migrated: {_first_line(e)}") from e
    except Exception as e:  # a migration is code, and may fail in any way
        raise CliError(f"a migration is broken: {_script(e)}{type(e).__name__}: {_first_line(e)}", f"see {SCRIPTS}") from e


def _first_line(e: Exception) -> str:
    return next(iter(str(e).splitlines()), "")


def _script(e: Exception) -> str:
    """Which migration it was, where its own code has raised."""
    frames = [frame for frame in traceback.extract_tb(e.__traceback__) if Path(frame.filename).parent == SCRIPTS]
    return f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}: " if frames else ""
