"""Names of every script in a structured report, read back by pydicom and, where installed, by dcmtk."""

import subprocess
from pathlib import Path
from shutil import which

import pytest
from fastapi.testclient import TestClient

from tests.service.report.report_files import PATIENT, image_with, named_as_empty, reported

# Most of these are the examples of PS3.5, annexes H to K, byte for byte.
NAMES: dict[str, tuple[str, bytes, str]] = {
    "japanese": (
        "\\ISO 2022 IR 87",
        b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
        "Yamada^Tarou=山田^太郎=やまだ^たろう",
    ),
    "japanese-katakana": (
        "ISO 2022 IR 13\\ISO 2022 IR 87",
        b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
        "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
    ),
    "japanese-with-the-byte-of-a-delimiter": (
        "\\ISO 2022 IR 87",
        b"Akiyama^Ki=\x1b$B=);3\x1b(B^\x1b$B5*\x1b(B",
        "Akiyama^Ki=秋山^紀",
    ),
    "japanese-supplementary": (
        "\\ISO 2022 IR 87\\ISO 2022 IR 159",
        b"Kusanagi=\x1b$(D0!\x1b(B^\x1b$B;3\x1b(B",
        "Kusanagi=丂^山",
    ),
    "korean": (
        "\\ISO 2022 IR 149",
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
        "Hong^Gildong=洪^吉洞=홍^길동",
    ),
    "korean-escaped-once": (
        "\\ISO 2022 IR 149",
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\xd1\xce\xd4\xd7",
        "Hong^Gildong=洪^吉洞",
    ),
    "chinese": (
        "\\ISO 2022 IR 58",
        b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=",
        "Zhang^XiaoDong=张^小东=",
    ),
    "chinese-gb18030": ("GB18030", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=", "Wang^XiaoDong=王^小东="),
    "chinese-utf-8": ("ISO_IR 192", "Wang^XiaoDong=王^小東=".encode(), "Wang^XiaoDong=王^小東="),
    "latin-and-greek": (
        "ISO 2022 IR 100\\ISO 2022 IR 126",
        b"M\xfcller^\x1b-F\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2^\xc4nne",
        "Müller^Διονυσιος^Änne",
    ),
    "german": ("ISO_IR 100", b"\xc4neas^R\xfcdiger", "Äneas^Rüdiger"),
    "polish": ("ISO_IR 101", b"Wa\xb3\xeasa^Lech", "Wałęsa^Lech"),
    "arabic": (
        "ISO_IR 127",
        b"\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1",
        "\u0642\u0628\u0627\u0646\u064a^\u0644\u0646\u0632\u0627\u0631",
    ),
    "russian": ("ISO_IR 144", b"\xbb\xee\xda", "\u041b\u044e\u043a"),
    "hebrew": ("ISO_IR 138", b"\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4", "שרון^דבורה"),
    "thai": ("ISO_IR 166", b"\xca\xc1\xaa\xd2\xc2", "สมชาย"),
    "none": ("", b"Doe^Jane", "Doe^Jane"),
    "term-misspelt": ("ISO-IR 100", b"R\xfcdiger", "Rüdiger"),
}


@pytest.mark.parametrize(("terms", "value", "name"), NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("implicit", [False, True], ids=["explicit", "implicit"])
def test_a_name_of_every_script_is_repeated(
    client: TestClient, tmp_path: Path, terms: str, value: bytes, name: str, implicit: bool
) -> None:
    values = PATIENT | {"SpecificCharacterSet": terms.encode(), "PatientName": value, "ReferringPhysicianName": value}
    content, report = reported(client, image_with(values, implicit=implicit))
    assert report.SpecificCharacterSet == "ISO_IR 192"
    assert str(report.PatientName) == str(report.ReferringPhysicianName) == name.rstrip("=")
    assert content.count(name.rstrip("=").encode()) == 2
    assert named_as_empty(report) == ""
    if which("dcmdump"):
        path = tmp_path / "report.dcm"
        path.write_bytes(content)
        shown = subprocess.run(["dcmdump", "+P", "PatientName", str(path)], capture_output=True, check=True)
        assert f"[{name.rstrip('=')}]" in shown.stdout.decode()
