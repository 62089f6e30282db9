"""In which words does the desk speak? Two commits of its prompts: the first, and a warmer one.

A placeholder is filled in with what a tool or a section said; nothing in it is looked at again.
"""

from collections.abc import Mapping

_FIRST: Mapping[str, str] = {
    "refused": "This request is refused.",
    "unknown": "Nothing is known about that.",
    "failed": "The tool failed: $why.",
    "quote": "$title ($page): $text",
    "find_order": "Order $number: $item, $state, arrives $arrives.",
    "search_documents": "Pages: $pages.",
    "refund_order": "Order $number is $state.",
}
_SECOND: Mapping[str, str] = {
    **_FIRST,
    "refused": "I cannot help with that. If you think this is a mistake, write to the desk.",
    "unknown": "I found nothing about that. Shall I open a ticket?",
    "quote": "The page “$title” says: $text (docs/$page.md)",
    "find_order": "Your order $number ($item) is $state. It arrives on $arrives.",
    "open_ticket": "I opened ticket $ticket. A person will look at it.",
}
PROMPTS = (("Give the desk its first words", _FIRST), ("Say it more kindly, and where it is written", _SECOND))
