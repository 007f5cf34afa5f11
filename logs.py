"""How every process of the control plane logs: one JSON object a line on stderr, whoever logs."""

import logging
import sys
from typing import Any

import structlog
from temporalio.exceptions import FailureError


def log_json(level: str) -> None:
    common: list[Any] = [structlog.processors.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True)]
    as_json: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[*common, *as_json],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler()
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=common, processors=as_json))
    handler.addFilter(_without_expected_tracebacks)
    logging.basicConfig(handlers=[handler], level=max(logging.getLevelNamesMapping()[level], logging.WARNING))


def _without_expected_tracebacks(record: logging.LogRecord) -> bool:
    """A failure that activities report on purpose says all in its message; a traceback is for what nobody foresaw."""
    problem = record.exc_info[1] if record.exc_info else None
    if isinstance(problem, FailureError):
        record.msg, record.args = f"{record.getMessage()}: {problem}", None
        record.exc_info = None
    return True
