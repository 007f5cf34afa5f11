"""What all datastores share, without an engine."""

import threading
from pathlib import Path

from guest_agent.services import Services
from guest_agent.settings import Settings
from tests.support.stub_datastore import Stub


def stub_in(directory: Path) -> Stub:
    paths = {name: directory / name for name in ("data_dir", "state_dir", "run_dir", "log_dir", "socket", "init_socket")}
    for name in ("data_dir", "state_dir", "run_dir", "log_dir"):
        paths[name].mkdir()
    settings = Settings("id", "stub", "1", 512, "127.0.0.1", None, **paths, engine_user=None, telemetry=None, ca_file=None)
    return Stub(settings, Services(settings.init_socket))


def test_all_who_ask_at_once_get_the_one_password(tmp_path: Path) -> None:
    """Jobs, calls and telemetry use the agent's account at the same time, from the first moment on."""
    for round_ in range(20):
        directory = tmp_path / str(round_)
        directory.mkdir()
        store = stub_in(directory)
        together = threading.Barrier(8)
        found: list[str] = []

        def ask(store: Stub = store, together: threading.Barrier = together, found: list[str] = found) -> None:
            together.wait()
            found.append(store.admin_password())

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [store.admin_password()] * 8
