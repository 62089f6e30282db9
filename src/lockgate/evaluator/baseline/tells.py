"""What gives a text away? Secrets, orders to a model, and characters that nobody sees.

Words are looked for after what hides them is gone: letters of full width, characters without width, odd spaces.
"""

import re
import unicodedata
from collections.abc import Iterator

_SECRETS = {
    "a private key": r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----",
    "an AWS key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})",
    "a GitLab token": r"\bglpat-[A-Za-z0-9_-]{20,}",
    "a Hugging Face token": r"\bhf_[A-Za-z0-9]{30,}",
    "an API key": r"\bsk-(?:ant-|proj-)?[A-Za-z0-9_-]{20,}",
    "a Slack token": r"\bxox[abprs]-[A-Za-z0-9-]{10,}",
    "a Google key": r"\bAIza[0-9A-Za-z_-]{35}",
    "a signed token": r"\beyJ[A-Za-z0-9_-]{8,400}\.eyJ[A-Za-z0-9_-]{8,400}\.[A-Za-z0-9_-]{8}",
    "a password": r"(?i)\b(?:password|passwd|secret|api[_-]?key|token)\b[\"']?\s*[:=]\s*[\"']?"
    r"(?=[^\s\"']{0,100}\d)[^\s\"'<>{}$]{8}",
    "a password in an address": r"\b[a-z][a-z0-9+.-]{0,20}://[^/\s:@]{1,100}:[^/\s:@{}$]{1,100}@",
}
_ORDERS = {
    "forget the rules": r"\b(?:ignore|disregard|forget|override|bypass)\b(?: \w+){0,3} (?:previous|prior|above|earlier"
    r"|preceding|system|safety)\b(?: \w+){0,3} ?\b(?:instruction|rule|prompt|guideline|direction|message|polic)\w*",
    "be another": r"\byou are now\b|\bpretend (?:to be|that you)\b|\bact as (?:if you|an? (?:un|dan))\w*"
    r"|\bdo anything now\b",
    "tell nobody": r"\b(?:do not|don't|never) (?:tell|mention|inform|reveal|show)\b(?: \w+){0,4} (?:the )?(?:user|human"
    r"|operator|anyone)\b",
    "send it away": r"\b(?:send|forward|post|upload|exfiltrate|email|transmit)\b(?: \w+){0,6} (?:to|at) "
    r"(?:https?://|\S{1,100}@\S)",
    "call before others": r"\b(?:before|instead of) (?:using|calling|invoking) (?:any|all|every|the) other tools?\b"
    r"|\balways (?:call|use|invoke) this tool (?:first|before)\b",
    "read what is private": r"(?:~|\$home)?/?\.(?:ssh|aws|netrc|env)\b|\bid_rsa\b|/etc/(?:passwd|shadow)\b",
    "reveal the prompt": r"\b(?:reveal|print|repeat|output|leak)\b(?: \w+){0,3} (?:system|hidden|initial|secret)\b"
    r"(?: \w+){0,2} ?\b(?:prompt|instruction|message)s?\b",
    "speak as another role": r"<\|(?:im_start|im_end|system|user|assistant|endoftext)\|>|\[/?inst\]|<</?sys>>"
    r"|<(?:important|system|secret)>",
}
_UNSEEN = frozenset({"Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp"})
_SECRET_FORMS = {what: re.compile(form) for what, form in _SECRETS.items()}
_ORDER_FORMS = {what: re.compile(form) for what, form in _ORDERS.items()}


def secrets_in(text: str) -> Iterator[str]:
    """Name each kind of secret that a text seems to hold; never the secret."""
    for what, form in _SECRET_FORMS.items():
        if form.search(text):
            yield f"it seems to hold {what}"


def orders_in(text: str) -> Iterator[str]:
    """Name each kind of order to a model that a text seems to give."""
    plain = re.sub(r"\s+", " ", unicodedata.normalize("NFKC", _shown(text))).lower()
    for what, form in _ORDER_FORMS.items():
        if found := form.search(plain):
            yield f"it tells a model to {what}: {found.group()[:60]!a}"


def unseen_in(text: str) -> Iterator[str]:
    """Name the characters that a reader does not see, line ends and tabs apart."""
    odd = sorted({letter for letter in text if letter not in "\n\r\t" and unicodedata.category(letter) in _UNSEEN})
    if odd:
        yield "it holds characters that nobody sees: " + ", ".join(f"U+{ord(letter):04X}" for letter in odd[:5])


def _shown(text: str) -> str:
    return "".join(letter for letter in text if letter in "\n\r\t" or unicodedata.category(letter) not in ("Cf", "Cc"))
