"""`recontrast readers serve`: the reading room on this machine."""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from recontrast.errors import ConfigError, DependencyError
from recontrast.execution.workers import Summary
from recontrast.readers.desk import Desk
from recontrast.readers.folder import read_plan
from recontrast.readers.new import NewSettings, new_study
from recontrast.readers.study import read_study

log = logging.getLogger(__name__)

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """Settings of `recontrast readers serve`."""

    study: Path
    """Study folder; or a design (TOML): its study is made beside it where it is not there yet, and served."""
    host: str = "127.0.0.1"
    """Address to listen on; any other than this machine's own lets others in: give a certificate then."""
    port: int = 8642
    """Port; 0: any free one."""
    names: tuple[str, ...] = ()
    """Further names of this server, as they stand in the readers' links."""
    certificate: Path | None = None
    """TLS certificate (PEM)."""
    certificate_key: Path | None = None
    """Its private key (PEM)."""
    patience_s: float = 10.0
    """Longest time in which a client must have sent a whole request, s."""


def serve(settings: ServeSettings) -> Summary:
    """Serve a study until it is stopped (Ctrl-C). Answers are on the disk before they are acknowledged.

    Raises:
        LayoutError: The folder is no study.
        ConfigError: The port is taken, or another server serves this study.
        DependencyError: The extra `readers` is not installed.

    Example:
        >>> serve(ServeSettings(study=Path("study")))  # doctest: +SKIP
    """
    try:
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise DependencyError(f"{error.name} is not installed: pip install 'recontrast[readers]'") from error
    if not settings.study.is_file():
        read_plan(settings.study)  # what is no study is said before a port is taken
    with _socket(settings) as listening:
        address = f"{_address(settings)}:{listening.getsockname()[1]}"
        folder = study_folder(settings.study, address)
        with _alone(folder):
            _run(settings, folder, listening, address)
    return Summary([f"{folder}: stopped; every answer is kept"])


def study_folder(study: Path, address: str) -> Path:
    """The folder to serve: `study` itself, or that of a design, made now where it is not there yet.

    Args:
        study: Study folder or design file.
        address: Address of the server, for the links of a study that is made.
    """
    if not study.is_file():
        return study
    folder = study.with_suffix("")
    if folder == study:
        raise ConfigError(f"{study}: is neither a study folder nor a design; a design's name ends in .toml")
    if not folder.exists():
        for line in new_study(NewSettings(design=study, out=folder, address=address)).done:
            log.info("%s", line)
    else:
        design, made = read_study(study), read_plan(folder).study
        if replace(design, seed=design.seed or made.seed) != made:
            log.warning("warning: %s was changed since %s was made, which is served as it was made", study, folder)
    return folder


def _run(settings: ServeSettings, folder: Path, listening: socket.socket, address: str) -> None:
    import uvicorn

    from recontrast.readers.connections import connection_class
    from recontrast.readers.server import build_application

    desk = Desk(folder)
    hosts = {*LOOPBACK, *settings.names, _bracketed(settings.host)}
    config = uvicorn.Config(
        build_application(desk, sorted(hosts)),
        http=connection_class(settings.patience_s), log_config=None, access_log=False,
        server_header=False, date_header=False, proxy_headers=False,
        ws="none", lifespan="off", limit_concurrency=256, timeout_keep_alive=30, timeout_graceful_shutdown=3,
        h11_max_incomplete_event_size=16384,
        ssl_certfile=settings.certificate, ssl_keyfile=settings.certificate_key,
    )  # fmt: skip
    log.info("serving %s at %s (stop with Ctrl-C)", folder, address)
    if not _is_loopback(settings.host) and not settings.certificate:
        log.warning("warning: others can reach this server and nothing is encrypted; give --certificate")
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:  # uvicorn raises it again after it has ended in good order
        log.debug("stopped")
    finally:
        desk.store.close()


def _address(settings: ServeSettings) -> str:
    """Scheme and name under which readers ask, without the port."""
    scheme = "https" if settings.certificate else "http"
    return f"{scheme}://{settings.names[0] if settings.names else _bracketed(settings.host)}"


@contextmanager
def _socket(settings: ServeSettings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        try:
            listening.bind((settings.host, settings.port))
            listening.listen(128)  # who comes before all is ready waits
        except (OSError, OverflowError) as error:
            raise ConfigError(f"cannot listen on {settings.host}:{settings.port}: {error}; try --port 0") from error
        yield listening
    finally:
        listening.close()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One server a study: two would not see each other's answers in time."""
    try:
        import fcntl
    except ImportError:  # not on Windows; there the coordinator takes care
        yield
        return
    with (folder / ".serving").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(f"{folder} is being served already by another process") from None
        yield


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
