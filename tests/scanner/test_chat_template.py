"""Are templates that only lay out left alone, and is each thing beyond that refused?"""

import pytest

from lockgate.scanner.chat_template import template_flaws

LAYOUTS = {
    "simple": "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] | trim }}{% endfor %}",
    "system": "{%- if messages[0].role == 'system' %}{{ messages[0].content + '\\n' }}{% endif %}",
    "thinking": "{% set content = m.content %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] "
    "%}{% endif %}{{ content.lstrip('\\n') }}",
    "tool-answers": "{% if not(m.content.startswith('<tool_response>') and m.content.endswith('\\n</tool_response>')) %}x"
    "{% endif %}",
    "images": "{% for item in m.content %}{% if item.type == 'image' or 'image_url' in item %}<|image|>{% elif 'text' in "
    "item %}{{ item.text }}{% endif %}{% endfor %}",
    "tools": "{% for tool in tools %}{{ tool | tojson(ensure_ascii=False) }}{% endfor %}",
    "macro": "{% macro kind(key, value) %}{% if key == 'properties' %}{{ value }}{% endif %}{% endmacro %}"
    "{% for k, v in tool.parameters | dictsort %}{{ kind(k, v) }}{% endfor %}",
    "tool-name": "{% macro server(tool) %}{% if tool.name.startswith('run_') %}python{% endif %}{% endmacro %}"
    "{% for call in m.tool_calls %}{{ server(call) }}{% endfor %}",
    "namespace": "{% set ns = namespace(first=true) %}{% if ns.first and loop.index0 > 1 %}{% set ns.first = false %}{% endif %}",
    "date": "{% set today = strftime_now('%Y-%m-%d') %}The date is {{ today }}.",
    "braces": "{{ '{\"name\": \"' + f.name + '\", \"arguments\": {{}}}' }}{{ {'a': {'b': 1}}['a'] }}",
    "raw": "{% raw %}{{ anything.__class__ }}{% endraw %}{# and {{ this.__init__ }} #}",
    "roles": "{% if m.role not in ['system', 'developer'] and m.content is string %}{{ m.content }}{% endif %}",
    "switch": "{% if '/no_think' in m.content %}<think></think>{% endif %}",
    "index": "{% for m in messages[::-1] %}{% set index = (messages|length - 1) - loop.index0 %}{{ messages[index].role }}{% "
    "if messages[loop.index0 - 1].role != 'tool' and messages[loop.index0 + 1] %}x{% endif %}{% endfor %}",
    "keys": "{% for k, v in tool.function.arguments.items() %}{{ k }}: {{ tool[k] | tojson }}{% endfor %}{{ m['content'][0]['text'] }}",
    "slices": "{% set end = content[start_pos:] %}{{ content[:-16] | trim }}{{ tool_call.id[-9:] }}{{ messages[1:] | length }}",
    "selected": "{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | map('upper') | list }}",
    "is-defined": "{% if strftime_now is defined %}{{ strftime_now('%d') }}{% endif %}",
    "raise": "{{ raise_exception('Conversation roles must alternate') }}",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_lays_out_is_left_alone(layout):
    assert list(template_flaws(LAYOUTS[layout])) == []


@pytest.mark.parametrize(
    "words",
    [
        "{% if m.content in ['refund', 'pay'] %}x{% endif %}",
        "{% if m.content not in ('refund', 'pay') %}x{% endif %}",
        "{% macro look(y) %}{% if 'refund' in y %}x{% endif %}{% endmacro %}{{ look(m.content) }}",
        "{% set ns.seen = m['content'] %}{% if ns.seen.find('refund') %}x{% endif %}",
        "{% for part in m.content %}{% if part.text == 'refund' %}x{% endif %}{% endfor %}",
        "{{ 'x' if 'refund' == m.content | lower | trim }}",
        "{% if 'refund' in messages | map(attribute='content') | join %}x{% endif %}",
        "{% elif 'r\\u0065fund' in m.content %}",
    ],
)
def test_what_looks_for_words_needs_a_person(words):
    found = list(template_flaws(words))

    assert {(flaw.rule, flaw.excuse) for flaw in found} == {("template-trigger", "chat-template")}


def test_prose_may_have_braces():
    assert list(template_flaws("Write {{ and {% as you like, {{ name }}, {% if %}", is_template=False)) == []
