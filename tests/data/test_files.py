"""Where files are looked for, how they are fetched, and that a bad one is refused and left as it
is."""

import errno
import functools
import gzip
import hashlib
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from aopnp.data import DataError, DataFile, data_folder, find
from aopnp.data.files import load

SOURCE = "https://example.org/the-public-page"
DATA = b"the bytes of a data set"
PACKED = gzip.compress(DATA, mtime=0)
REWRAPPED = gzip.compress(DATA, compresslevel=0, mtime=1)
NO_POOCH = "pooch, which downloads, is in the extra 'experiments' and not installed here"


def md5(data: bytes) -> str:
    return "md5:" + hashlib.md5(data, usedforsecurity=False).hexdigest()


MD5 = md5(DATA)


def nowhere() -> str:
    """A URL on a port of this machine that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/small.gz"


def small(url: str = "", published: bytes = PACKED, content: str | None = None) -> DataFile:
    return DataFile("small/small.gz", url or nowhere(), SOURCE, md5(published), content)


def put(folder: Path, data: bytes) -> Path:
    path = folder / "small" / "small.gz"
    path.parent.mkdir()
    path.write_bytes(data)
    return path


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """URL of a server of this machine that has PACKED under /small.gz."""
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "small.gz").write_bytes(PACKED)
    handler = functools.partial(Quiet, directory=str(tmp_path / "www"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/small.gz"
        server.shutdown()


# Which folder


def test_the_folder_is_the_argument_then_the_variable_then_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("AOPNP_DATA_DIR", str(tmp_path / "variable"))
    assert data_folder(tmp_path / "argument") == tmp_path / "argument"
    assert data_folder(str(tmp_path / "argument")) == tmp_path / "argument"
    assert data_folder() == tmp_path / "variable"
    monkeypatch.setenv("AOPNP_DATA_DIR", "")
    assert data_folder() == tmp_path / "cache" / "aopnp"
    monkeypatch.delenv("AOPNP_DATA_DIR")
    assert data_folder() == tmp_path / "cache" / "aopnp"


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert data_folder("~/sets") == tmp_path / "sets"


@pytest.mark.parametrize(
    ("platform", "below_home"),
    [
        ("linux", ".cache/aopnp"),
        ("darwin", "Library/Caches/aopnp"),
        ("win32", "AppData/Local/aopnp/aopnp/Cache"),
    ],
)
def test_the_cache_follows_the_platform(
    platform: str, below_home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AOPNP_DATA_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setattr(sys, "platform", platform)
    assert data_folder() == tmp_path / below_home


@pytest.mark.parametrize("xdg", [None, "cache"])
def test_the_cache_is_where_pooch_would_put_it(
    xdg: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pooch = pytest.importorskip("pooch", reason=NO_POOCH)
    monkeypatch.delenv("AOPNP_DATA_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if xdg and sys.platform == "linux":
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / xdg))
    assert data_folder() == pooch.os_cache("aopnp")


# Finding and fetching


def test_what_is_there_is_found_without_pooch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path, b"anything")
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert find(small(), tmp_path) == path


def test_what_is_missing_is_downloaded_once(tmp_path: Path, served: str) -> None:
    pytest.importorskip("pooch", reason=NO_POOCH)
    path = find(small(served), tmp_path / "new")
    assert path == tmp_path / "new" / "small" / "small.gz"
    assert path.read_bytes() == PACKED
    (tmp_path / "www" / "small.gz").unlink()
    assert find(small(served), tmp_path / "new") == path


def refusal(file: DataFile, folder: Path) -> str:
    """The sentence with which `find` refuses: it names the file, its folder and the public
    source."""
    with pytest.raises(DataError) as caught:
        find(file, folder)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    message = str(caught.value)
    assert f"expected the file small.gz in {folder / 'small'}, got none" in message
    assert SOURCE in message
    return message


def test_an_unreachable_source_is_one_quiet_sentence(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    logger = pytest.importorskip("pooch", reason=NO_POOCH).get_logger()
    # Its own handler holds the stream of whichever test came first, perhaps closed by now.
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    logger.info("before")
    file = small()
    assert f"could not be fetched from {file.url} (ConnectionError)" in refusal(file, tmp_path)
    logger.info("after")
    assert [record.message for record in caplog.records] == ["before", "after"]
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_a_source_without_the_file_is_refused(tmp_path: Path, served: str) -> None:
    pytest.importorskip("pooch", reason=NO_POOCH)
    url = served + ".moved"
    assert f"could not be fetched from {url} (HTTPError)" in refusal(small(url), tmp_path)


def test_a_refused_download_leaves_no_socket_open(tmp_path: Path, served: str) -> None:
    pytest.importorskip("pooch", reason=NO_POOCH)
    with pytest.raises(DataError) as caught:
        find(small(served + ".moved"), tmp_path)
    response = getattr(caught.value.__context__, "response", None)
    assert response is not None
    assert response.status_code == 404
    assert response.raw.closed


def test_a_download_with_a_wrong_checksum_is_not_kept(tmp_path: Path, served: str) -> None:
    pytest.importorskip("pooch", reason=NO_POOCH)
    message = refusal(small(served, published=b"other bytes"), tmp_path)
    assert f"the file that {served} sent was refused" in message
    assert md5(PACKED).removeprefix("md5:") in message
    assert not (tmp_path / "small").exists()


def test_a_failed_download_leaves_the_folders_as_they_were(tmp_path: Path) -> None:
    pytest.importorskip("pooch", reason=NO_POOCH)
    refusal(small(), tmp_path / "new" / "folder")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "small").mkdir()
    refusal(small(), tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "small"]


def test_a_missing_pooch_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    assert "(pip install pooch)" in refusal(small(), tmp_path)


def test_an_unwritable_folder_is_refused_before_the_download(tmp_path: Path, served: str) -> None:
    pytest.importorskip("pooch", reason=NO_POOCH)
    (tmp_path / "file").write_bytes(b"a file can be no folder, not even for the superuser")
    message = refusal(small(served), tmp_path / "file")
    assert "folder cannot be written (Not a directory)" in message
    assert "$AOPNP_DATA_DIR" in message


def test_a_folder_without_write_permission_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulated: a superuser, as in containers, may write everywhere."""
    pytest.importorskip("pooch", reason=NO_POOCH)

    def denied(dir: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(dir))

    monkeypatch.setattr(tempfile, "TemporaryFile", denied)
    assert "folder cannot be written (Permission denied)" in refusal(small(), tmp_path)


# Checking


def test_a_file_is_known_by_its_content_however_it_was_compressed(tmp_path: Path) -> None:
    assert REWRAPPED != PACKED
    put(tmp_path, REWRAPPED)
    assert load(small(content=MD5), bytes.upper, tmp_path) == DATA.upper()


def test_a_file_of_unknown_content_is_known_as_published(tmp_path: Path) -> None:
    put(tmp_path, PACKED)
    assert load(small(), bytes.upper, tmp_path) == DATA.upper()


def test_a_file_that_is_not_compressed_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "plain.csv").write_bytes(DATA)
    assert load(DataFile("plain.csv", "", SOURCE, MD5), bytes.upper, tmp_path) == DATA.upper()


def fail(data: bytes) -> None:
    raise AssertionError(f"damaged bytes reached the parser: {data!r}")


@pytest.mark.parametrize(
    ("damaged", "content", "problem"),
    [
        (
            gzip.compress(DATA[:-1]),
            MD5,
            f"expected a content with md5 {MD5[4:]}, got {md5(DATA[:-1])[4:]};",
        ),
        (b"", MD5, f"expected a content with md5 {MD5[4:]}, got {md5(b'')[4:]};"),
        (REWRAPPED, None, f"expected a file with md5 {md5(PACKED)[4:]}, got {md5(REWRAPPED)[4:]};"),
        (
            PACKED[:-12],
            None,
            f"expected a file with md5 {md5(PACKED)[4:]}, got {md5(PACKED[:-12])[4:]};",
        ),
        (PACKED[:-12], MD5, "expected a whole gzip file, got a damaged one (Compressed file ended"),
        (PACKED[:5], MD5, "expected a whole gzip file, got a damaged one (Compressed file ended"),
        (
            b"<html>no such file</html>",
            MD5,
            "expected a whole gzip file, got a damaged one (Not a gzip",
        ),
        (
            PACKED[:12] + b"\xff" + PACKED[13:],
            MD5,
            "expected a whole gzip file, got a damaged one (Error -3",
        ),
    ],
    ids=[
        "content",
        "empty",
        "wrapper",
        "cut file",
        "cut gzip",
        "cut header",
        "no gzip",
        "flipped byte",
    ],
)
def test_a_damaged_file_is_refused_and_left_alone(
    damaged: bytes, content: str | None, problem: str, tmp_path: Path
) -> None:
    path = put(tmp_path, damaged)
    with pytest.raises(DataError) as caught:
        load(small(content=content), fail, tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{path}: {problem}")
    assert f"put the original from {SOURCE} in its place" in message
    assert caught.value.__suppress_context__
    assert path.read_bytes() == damaged


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "small" / "small.gz"
    path.mkdir(parents=True)
    with pytest.raises(DataError) as caught:
        load(small(), fail, tmp_path)
    assert str(caught.value).startswith(
        f"{path}: expected a readable file, got none (Is a directory)"
    )


def test_what_a_parser_refuses_gets_the_name_of_the_file(tmp_path: Path) -> None:
    def parse(data: bytes) -> None:
        raise DataError("expected three rows, got two")

    path = put(tmp_path, PACKED)
    with pytest.raises(DataError) as caught:
        load(small(), parse, tmp_path)
    assert str(caught.value).startswith(f"{path}: expected three rows, got two; put the original ")


def test_importing_brings_numpy_and_nothing_else() -> None:
    program = (
        "import sys, numpy.random; before = set(sys.modules); import aopnp.data; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(*sorted(new - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    # Numpy loads some of its parts late.
    assert done.stdout.split() in (["aopnp"], ["aopnp", "numpy"])
