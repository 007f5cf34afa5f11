"""Which deployment a command means: that of a configuration file, or that of a state directory."""

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from oslo_config import cfg
from sqlalchemy.exc import SQLAlchemyError

import config
from cli.errors import CliError
from cli.output import state_option
from cli.statedir import StateDir, resolve
from models import Database


def config_options(command: Callable[..., Any]) -> Callable[..., Any]:
    what = "Configuration file; by default that of the state directory."
    path = click.Path(path_type=Path, dir_okay=False)
    return state_option(click.option("--config", type=path, envvar="COFFER_CONFIG", metavar="FILE", help=what)(command))


def load(config_file: Path | None, state: Path | None) -> cfg.ConfigOpts:
    """Raises CliError for a file that is not there or says nonsense."""
    where = resolve(state)
    path = config_file or where.config
    try:
        return config.load(path)
    except cfg.ConfigFilesNotFoundError as e:
        raise CliError(
            f"there is no configuration file {path}", f"{where.command('up')} makes one; or name it: --config FILE or --state DIR"
        ) from e
    except (cfg.Error, ValueError) as e:
        raise CliError(f"{path}: {e}") from e


def command(conf: cfg.ConfigOpts, words: str) -> str:
    """A command on this deployment, ready to be pasted into any shell."""
    path = Path(conf.config_file[0]).resolve()
    state = StateDir(path.parent)
    return state.command(words) if path == state.config else f"coffer {words} --config {shlex.quote(str(path))}"


@contextmanager
def database(conf: cfg.ConfigOpts) -> Iterator[Database]:
    """The control plane's database; what it refuses is told without the URL, which may hold a password."""
    db = Database(conf.database.connection)
    try:
        yield db
    except SQLAlchemyError as e:
        reason = str(getattr(e, "orig", None) or type(e).__name__)
        raise CliError(f"the database says: {reason}", f"{command(conf, 'db upgrade')} brings its schema up to date") from e
    finally:
        db.close()
