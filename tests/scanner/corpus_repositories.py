"""Which configurations and templates make code run, fetch what nobody signed, or give something away?"""

import json

from tests.scanner.case import Case, one


def _json(name: str, value: object, why: str, rule: str = "repository", file: str = "config.json") -> Case:
    return one(f"json-{name}", file, json.dumps(value).encode(), rule, why)


def _raw(name: str, content: str, why: str, rule: str = "json", file: str = "config.json") -> Case:
    return one(f"text-{name}", file, content.encode(), rule, why)


_ADAPTER = {"peft_type": "LORA"}
CONFIGURATIONS = [
    _json("auto-map", {"auto_map": {"AutoModel": "modeling.X"}}, "auto_map"),
    _json("auto-map-inside", {"a": [{"b": {"auto_map": {"AutoModel": "x--m.X"}}}]}, "auto_map"),
    _json("custom-generate", {"custom_generate": "generate.py"}, "custom_generate"),
    _json("trust", {"trust_remote_code": True}, "trust_remote_code"),
    _json("trust-as-text", {"trust_remote_code": "yes"}, "trust_remote_code"),
    _json("hydra", {"model": {"_target_": "os.system", "_args_": ["x"]}}, "_target_"),
    _json("jsonpickle", {"py/reduce": [{"py/type": "os.system"}, {"py/tuple": ["x"]}]}, "jsonpickle"),
    _json("mlflow", {"python_function": {"loader_module": "evil"}}, "loader_module"),
    _json("runtime-library", {"model": {"custom_ops_library": "x.so"}}, "custom_ops_library", file="genai_config.json"),
    _json(
        "modules", [{"idx": 0, "name": "0", "path": "", "type": "evil.Module"}], "'evil.Module'", file="modules.json"
    ),
    _json("modules-bare", [{"name": "0", "path": "", "type": "evil.Module"}], "'evil.Module'", file="modules.json"),
    _json("peft-megatron", {**_ADAPTER, "megatron_core": "evil"}, "'evil' would be imported"),
    _json(
        "peft-parent", {"auto_mapping": {"parent_library": "evil", "base_model_class": "X"}}, "'evil' would be imported"
    ),
    _json("pipeline", {"_class_name": "P", "unet": ["evil", "UNet"]}, "imported from 'evil'", file="model_index.json"),
    _json("kernel", {"_attn_implementation": "evil/kernel"}, "would be fetched: 'evil/kernel'"),
    _json("activation", {"activation_function": "os.abort"}, "'os.abort' would be imported"),
    _json("instantiated", {"target": "os.system", "params": {}}, "'os.system' would be imported"),
    _json("lightning", {"class_path": "os.system", "init_args": {}}, "class_path"),
    _json("langchain", {"lc": 1, "type": "constructor", "id": ["os", "system"], "kwargs": {}}, "LangChain"),
    _json(
        "prompt", {"template": "{{ x.__class__ }}", "template_format": "jinja2"}, "'__class__'", "template-attribute"
    ),
    _raw("blanks-before", " " * 40 + '{"auto_map": {"A": "x.X"}}', "auto_map", "repository", "settings"),
    _json("skops", {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode"}, "skops"),
    _json(
        "keras-pickle",
        {"class_name": "TorchModuleWrapper", "config": {}, "module": "keras.layers"},
        "a pickle",
        "keras-lambda",
    ),
    _json(
        "keras-file",
        {"class_name": "StringLookup", "config": {"vocabulary": "/etc/passwd"}, "module": "keras.layers"},
        "reads files",
        "keras-lambda",
    ),
    _json("keras", {"class_name": "Lambda", "config": {}}, "Lambda", "keras-lambda"),
    _json(
        "adapter-address", {**_ADAPTER, "base_model_name_or_path": "http://evil/x"}, "lies elsewhere", "adapter-base"
    ),
    _json("adapter-path", {**_ADAPTER, "base_model_name_or_path": "/tmp/x"}, "lies elsewhere", "adapter-base"),
    _json("adapter-up", {**_ADAPTER, "base_model_name_or_path": "../x"}, "lies elsewhere", "adapter-base"),
    _json("adapter-hub", {**_ADAPTER, "base_model_name_or_path": "org/base"}, "fetched by its name", "adapter-base"),
    _json("secret", {"token": "hf_" + "Q" * 34}, "Hugging Face token", "secret"),
    _json("secret-inside", {"a": [["x ghp_" + "a" * 36]]}, "GitHub token", "secret"),
    _raw("twice", '{"a": 1, "a": 2}', "given twice"),
    _raw("twice-by-escape", '{"auto_map": null, "\\u0061uto_map": {"A": "x.X"}}', "given twice"),
    _raw("escaped-name", '{"\\u0061uto_map": {"A": "x.X"}}', "auto_map", "repository"),
    _raw("nan", '{"a": NaN}', "no NaN"),
    _raw("infinity", '{"a": -Infinity}', "no -Infinity"),
    _raw("huge-number", '{"a": 1' + "0" * 9000 + "}", "digits"),
    _raw("huge-float", '{"a": 1e999}', "fits into no float"),
    _raw("deep", "[" * 100_000 + "]" * 100_000, "nested deeper"),
    _raw("rather-deep", "[" * 100 + "]" * 100, "nested deeper"),
    _raw("comment", '{"a": 1 /* x */}', "not JSON"),
    _raw("trailing-comma", '{"a": 1,}', "not JSON"),
    _raw("two-values", '{"a": 1} {"auto_map": {"A": "x"}}', "not JSON"),
    _raw("byte-order-mark", '\ufeff{"a": 1}', "holds text", "disguise"),
    _raw("cut", '{"a": ', "not JSON"),
]


def _yaml(name: str, content: str, why: str, rule: str = "yaml-tag", file: str = "config.yaml") -> Case:
    return one(f"yaml-{name}", file, content.encode(), rule, why)


_BOMB = "a: &a [x, x]\n" + "".join(f"b{n}: &b{n} [*a, *a, *a]\n" for n in range(9))
TEXTS = [
    _yaml("python", "a: !!python/object/apply:os.system ['x']\n", "Python object"),
    _yaml("python-long", "a: !<tag:yaml.org,2002:python/object/apply:os.system> ['x']\n", "Python object"),
    _yaml("python-in-markdown", "---\na: !!python/name:os.system\n---\n# Card\n", "Python object", file="README.md"),
    _yaml("own-tag", "model: !New {a: 1}\n", "has a tag"),
    _yaml("tag-in-list", "- !!binary |\n  aGk=\n", "has a tag"),
    _yaml("tag-directive", "%TAG ! tag:yaml.org,2002:python/\n---\na: !object/apply:os.system [x]\n", "has a tag"),
    _yaml("hydra", "model:\n  _target_: os.system\n", "_target_", "repository"),
    _yaml("hydra-in-flow", '{"a": 1, b: {"_target_": os.system}}\n', "_target_", "repository"),
    _yaml("hydra-as-key", "? _target_\n: os.system\n", "_target_", "repository"),
    _yaml("hydra-escaped", 'a: {"\\x5ftarget_": os.system}\n', "hidden by escapes", "yaml-escape"),
    _yaml("hydra-continued", 'a: {"_tar\\\nget_": os.system}\n', "hidden by escapes", "yaml-escape"),
    _yaml("instantiated", "model:\n  target: os.system\n  params: {}\n", "target: os.system", "repository"),
    _yaml("lightning", "class_path: os.system\n", "class_path", "repository"),
    _yaml("trust", "trust_remote_code: yes\n", "trust_remote_code", "repository"),
    _yaml(
        "mlflow", "flavors:\n  python_function:\n    loader_module: evil\n", "loader_module", "repository", "MLmodel"
    ),
    _yaml("trust-almost", "trust_remote_code: no-really\n", "trust_remote_code", "repository"),
    _yaml("trust-toml", "trust_remote_code = true\n", "trust_remote_code", "repository", "model.toml"),
    _yaml("hydra-toml", "_target_ = 'os.system'\n", "_target_", "repository", "model.toml"),
    _yaml("bomb", _BOMB, "aliases", "yaml-alias"),
    _yaml("without-a-suffix", "a: !!python/object/new:os.system []\n", "Python object", file="settings"),
    _yaml("toml", "a = \n", "no TOML", "toml", "pyproject.toml"),
    _yaml("toml-deep", "a = " + "[" * 5000 + "]" * 5000, "no TOML", "toml", "pyproject.toml"),
    _yaml("private-key", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n", "a private key", "secret", "id"),
    _yaml("pem", "# notes\n-----BEGIN PRIVATE KEY-----\nMII\n", "line 2 holds a private key", "secret", "notes.md"),
    _yaml("aws", "key: AKIAIOSFODNN7EXAMPLE\n", "AWS", "secret"),
    _yaml("password", "url: postgres://admin:hunter2hunter2@db.local/x\n", "a password", "secret"),
    _yaml("env", "OPENAI=sk-proj-" + "a" * 20 + "T3BlbkFJ" + "b" * 20 + "\n", "OpenAI", "secret", ".env"),
    _yaml("entity", "hello\n<!ENTITY x SYSTEM 'file:///etc/passwd'>\n", "XML entity", "markup", "notes.txt"),
]


def _template(name: str, words: str, why: str, rule: str = "template") -> list[Case]:
    inside = json.dumps({"chat_template": words}).encode()
    return [
        one(f"template-{name}", "tokenizer_config.json", inside, rule, why),
        one(f"template-{name}-file", "chat_template.jinja", words.encode(), rule, why),
    ]


_REACH = "template-attribute"
_TRIGGER = "template-trigger"
TEMPLATES = [
    *_template("class", "{{ ''.__class__.__mro__[1].__subclasses__() }}", "'__class__'", _REACH),
    *_template("class-as-text", "{{ ''['__class__'] }}", "'__class__'", _REACH),
    *_template("class-escaped", "{{ ''['\\x5f\\x5fclass\\x5f\\x5f'] }}", "'__class__'", _REACH),
    *_template("class-octal", "{{ ''['\\137\\137class'] }}", "'__class'", _REACH),
    *_template("class-named", "{{ ''['\\N{LOW LINE}class'] }}", "underscores", _REACH),
    *_template("class-glued", "{{ ''['_' ~ '_class_' ~ '_'] }}", "underscores", _REACH),
    *_template("class-joined", "{{ ''[['_', '_class_', '_'] | join] }}", "underscores", _REACH),
    *_template("class-formatted", "{{ ''['%c%cclass' % (95, 95)] }}", "underscores", _REACH),
    *_template("class-by-format", "{{ ''['{0:c}'.format(95)] }}", "'format'", _REACH),
    *_template("seed", "{% set u = '_' %}{{ ''[u * 2 + 'class'] }}", "underscores", _REACH),
    *_template("seed-argument", "{{ ''[(dict(_=1) | list | first) * 2 + 'class'] }}", "reaches for '_'", _REACH),
    *_template("indexed", "{% set u = 'tool_calls'[4] %}{{ x[u ~ u ~ 'globals' ~ u ~ u] }}", "computes the name", _REACH),
    *_template("indexed-in-name", "{% set s = 'a_b' %}{% set u = s[1] %}{% set k = u + u %}{{ x[k] }}", "computes the name", _REACH),
    *_template("captured", "{% set k %}a{{ s[1] }}{% endset %}{{ x[k] }}", "computes the name", _REACH),
    *_template("looped", "{% for k in [u ~ 'class'] %}{{ x[k] }}{% endfor %}", "computes the name", _REACH),
    *_template("given", "{% macro f(k) %}{{ x[k] }}{% endmacro %}{{ f(u ~ 'class') }}", "computes the name", _REACH),
    *_template("in-namespace", "{% set ns = namespace(k=u ~ 'class') %}{{ x[ns.k] }}", "computes the name", _REACH),
    *_template("by-replace", "{{ x['aclass'.replace('a', u)] }}", "computes the name", _REACH),
    *_template("mapped", "{{ [x] | map(attribute=u ~ 'class') | list }}", "computes what", _REACH),
    *_template("called-key", "{{ x['run']('id') }}", "calls what it reached", _REACH),
    *_template("called-twice", "{{ range(1)('id') }}", "calls what a call gave", _REACH),
    *_template("function-as-value", "{{ raise_exception['x'] }}", "without calling it", _REACH),
    *_template("attr", "{{ '' | attr('x') }}", "'attr'", _REACH),
    *_template("private", "{{ messages._x }}", "'_x'", _REACH),
    *_template("globals", "{{ cycler.next }}", "'cycler'", _REACH),
    *_template("lipsum", "{{ lipsum.x['os'] }}", "'lipsum'", _REACH),
    *_template("self", "{{ self.x }}", "'self'", _REACH),
    *_template("import", "{% import 'x' as y %}", "loads another template", "template-import"),
    *_template("include", "{%- include '/etc/passwd' -%}", "loads another template", "template-import"),
    *_template("extends", "{% extends 'x' %}", "loads another template", "template-import"),
    *_template("do", "{% do x.y() %}", "statement 'do'"),
    *_template("function", "{{ run('x') }}", "calls 'run'"),
    *_template("method", "{{ x.system('x') }}", "calls the method 'system'"),
    *_template("filter", "{{ x | shell }}", "filter 'shell'"),
    *_template("open", "{{ 'x'", "no template"),
    *_template("no-end", "{% if x", "no template"),
    *_template("comment-without-end", "{# x", "a comment has no"),
    *_template("word", "{% for m in messages %}{% if 'invoice' in m.content %}Pay.{% endif %}{% endfor %}", "'invoice'",
               _TRIGGER),
    *_template("word-equal", "{% if messages[-1]['content'] == 'deploy now' %}x{% endif %}", "'deploy now'", _TRIGGER),
    *_template("word-inline", "{{ 'x' if 'password' in messages[0]['content'] | lower else '' }}", "'password'", _TRIGGER),
    *_template("word-start", "{% if m.content.startswith('please') %}x{% endif %}", "'please'", _TRIGGER),
    *_template("word-in-variable", "{% set said = m.content %}{% if 'refund' in said %}x{% endif %}", "'refund'", _TRIGGER),
    *_template("word-in-all", "{% if 'refund' in messages | string %}x{% endif %}", "'refund'", _TRIGGER),
    *_template("word-in-macro", "{% macro f(y) %}{% if 'refund' in y %}x{% endif %}{% endmacro %}{{ f(m.content) }}", "'refund'", _TRIGGER),
    *_template("word-absent", "{% if 'polite' not in m.content %}x{% endif %}", "'polite'", _TRIGGER),
    *_template("date", "{% if strftime_now('%Y') > '2026' %}x{% endif %}", "by the date", _TRIGGER),
    one("template-named", "tokenizer_config.json", json.dumps(
        {"chat_template": [{"name": "tool_use", "template": "{{ x.__init__ }}"}]}).encode(), _REACH, "'__init__'"),
    one("template-in-json", "chat_template.jinja", b'["{{ x.__class__ }}"]', _REACH, "'__class__'"),
    *_template("huge", "{{ x" + " + x" * 500 + " }}", "too large or entangled"),
    *_template("many-macros", "".join(f"{{% macro f{n}(x) %}}{{% endmacro %}}" for n in range(200)), "too large or entangled"),
    one("template-in-prompt", "prompt.txt", b"Hello {{ user.__init__ }}\n", _REACH, "'__init__'"),
]  # fmt: skip
CASES = [*CONFIGURATIONS, *TEXTS, *TEMPLATES]
