"""Text by DICOM's character sets, strictly.

pydicom guesses where bytes do not fit the character set, and leaves the escape sequences of Chinese in the text. A
guessed name is worse than none.
"""

import re

TERM = r"ISO[ _-](?:2022[ _-])?IR[ _-]?(\d+)"
CODECS = {
    "100": "iso8859_1",
    "101": "iso8859_2",
    "109": "iso8859_3",
    "110": "iso8859_4",
    "144": "iso8859_5",
    "127": "iso8859_6",
    "126": "iso8859_7",
    "138": "iso8859_8",
    "148": "iso8859_9",
    "203": "iso8859_15",
    "166": "tis_620",
    "13": "shift_jis",
}
"""Python's codecs of the character sets that may stand first, by ISO registration number (PS3.3, C.12.1.1.2)."""
WHOLE = {"GB18030": "gb18030", "GBK": "gbk"}
"""Character sets without escape sequences, beside UTF-8 (192)."""
UPPER_HALF = {
    b"-A": "iso8859_1",
    b"-B": "iso8859_2",
    b"-C": "iso8859_3",
    b"-D": "iso8859_4",
    b"-L": "iso8859_5",
    b"-G": "iso8859_6",
    b"-F": "iso8859_7",
    b"-H": "iso8859_8",
    b"-M": "iso8859_9",
    b"-b": "iso8859_15",
    b"-T": "tis_620",
    b")I": "shift_jis",
    b"$)C": "euc_kr",
    b"$)A": "gb2312",
}
"""What an escape sequence makes of the bytes above 127 (tables C.12-3 and C.12-4)."""
TWO_BYTES = {b"$B": "iso2022_jp", b"$(D": "iso2022_jp_2"}
ESCAPE = rb"\x1b(\$?[()\-]?[A-Za-z])"


def decoded(value: bytes, first_term: str) -> str:
    """Decode bytes by Specific Character Set (PS3.3, C.12.1.1.2) and their escape sequences (PS3.5, 6.1.2.5).

    Only the first term counts: each escape sequence names its character set itself.

    Raises:
        UnicodeError: if they do not fit. Under a term that is not known, only ASCII fits.
    """
    if first_term in WHOLE:
        return value.decode(WHOLE[first_term])
    term = re.fullmatch(TERM, first_term)
    number = term[1] if term else ""
    if number == "192":
        return value.decode()
    first = upper = CODECS.get(number, "ascii")
    before, *rest = re.split(ESCAPE, value)
    text = before.decode(first)
    for escape, part in zip(rest[::2], rest[1::2], strict=True):
        if escape in TWO_BYTES:
            text += (b"\x1b" + escape + part).decode(TWO_BYTES[escape])
            continue
        if escape in UPPER_HALF:
            upper = UPPER_HALF[escape]
        elif escape not in (b"(B", b"(J"):
            raise UnicodeError("an escape sequence that DICOM does not define")
        # A delimiter ends what an escape sequence began. Where the first set has no upper half, nothing else can be
        # meant by such bytes, and some devices write the sequence once for a whole name.
        head, *tail = re.split(rb"(?=[\^=\\])", part, maxsplit=1)
        text += head.decode(upper)
        if tail:
            upper = upper if first == "ascii" else first
            text += tail[0].decode(upper)
    return text
