"""How is text of others shown, so that it says nothing in our name?"""


def one_line(text: str) -> str:
    """Write text of others so that it moves no cursor, changes no colour and makes no second line."""
    flat = " ".join(part for part in (line.rstrip() for line in text.splitlines()) if part) if "\n" in text else text
    return "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in flat)
