# SPDX-License-Identifier: Apache-2.0
"""The part of Go's text/template and Helm's functions that our chart uses, so that the chart is rendered and compared where
there is no helm. Whatever it doesn't know is an error, never passed over."""
import re

import yaml

TOKEN = re.compile(r"\{\{(-?)\s*(.*?)\s*(-?)\}\}", re.S)
WORD = re.compile(r'"(?:[^"\\]|\\.)*"|\(|\)|\||[^\s()|]+')


class TemplateError(Exception):
    """The template holds something that this renderer (or Helm) wouldn't take."""


def _tokens(text):
    """[("text", s) or ("action", s)], white space trimmed as the dashes say."""
    out, pos, trim = [], 0, False
    for m in TOKEN.finditer(text):
        piece = text[pos:m.start()]
        piece = piece.lstrip() if trim else piece
        out.append(("text", piece.rstrip() if m.group(1) else piece))
        out.append(("action", m.group(2)))
        pos, trim = m.end(), bool(m.group(3))
    rest = text[pos:]
    out.append(("text", rest.lstrip() if trim else rest))
    return out


def _block(tokens, i, ends):
    """Nodes up to one of the @ends: (nodes, the end's action, next index)."""
    nodes = []
    while i < len(tokens):
        kind, s = tokens[i]
        i += 1
        if kind == "text":
            nodes.append(("text", s))
            continue
        if s.startswith("/*"):
            continue
        word = s.split(None, 1)[0]
        if word in ends:
            return nodes, s, i
        if word in ("if", "with", "range", "define"):
            body, end, i = _block(tokens, i, ("else", "end"))
            other = []
            if end == "else":
                other, _, i = _block(tokens, i, ("end",))
            elif end != "end":
                raise TemplateError(f"{{{{ {end} }}}} isn't known here")
            nodes.append((word, s.split(None, 1)[1], body, other))
        else:
            nodes.append(("print", s))
    if ends:
        raise TemplateError(f"no {{{{ end }}}}")
    return nodes, "", i


def _scalar(v):
    if isinstance(v, bool):
        return "true" if v else "false"
    return "" if v is None else str(v)


class Chart:
    """Templates parsed once, rendered with values."""

    def __init__(self, files):
        self.named, self.main, self.root = {}, {}, None
        for name, text in files.items():
            nodes, _, _ = _block(_tokens(text), 0, ())
            for n in nodes:
                if n[0] == "define":
                    self.named[n[1].strip('"')] = n[2]
            self.main[name] = [n for n in nodes if n[0] != "define"]

    def render(self, name, root):
        self.root = root
        return self._nodes(self.main[name], root)

    def _nodes(self, nodes, dot):
        return "".join(self._node(n, dot) for n in nodes)

    def _node(self, n, dot):
        if n[0] == "text":
            return n[1]
        value = self._pipeline(n[1], dot)
        if n[0] == "print":
            return _scalar(value)
        if n[0] == "if":
            return self._nodes(n[2] if value else n[3], dot)
        if n[0] == "with":
            return self._nodes(n[2], value) if value else self._nodes(n[3], dot)
        return "".join(self._nodes(n[2], v) for v in value) if value else self._nodes(n[3], dot)

    def _pipeline(self, text, dot):
        value, first = None, True
        words, stage = WORD.findall(text), []
        for w in words + ["|"]:
            if w != "|":
                stage.append(w)
                continue
            value = self._call(stage, dot, [] if first else [value])
            first, stage = False, []
        return value

    def _call(self, words, dot, piped):
        if not words:
            raise TemplateError("an empty pipeline")
        head, rest = words[0], [self._operand(w, dot) for w in words[1:]]
        if head[0] in '."$' or head in ("true", "false") or head.isdigit():
            if rest or piped:
                raise TemplateError(f"{head} is no function")
            return self._operand(head, dot)
        return self._function(head, rest + piped)

    def _operand(self, w, dot):
        if w.startswith('"'):
            return w[1:-1]
        if w in ("true", "false"):
            return w == "true"
        if w.isdigit():
            return int(w)
        if w.startswith("$"):
            dot, w = self.root, w[1:] or "."
        if not w.startswith("."):
            raise TemplateError(f"operand {w} isn't known")
        for key in filter(None, w.split(".")):
            if not isinstance(dot, dict):
                raise TemplateError(f"{w}: {key} of what is no map")
            dot = dot.get(key)
        return dot

    def _function(self, name, a):
        if name == "include":
            return self._nodes(self.named[a[0]], a[1])
        if name == "nindent":
            return "\n" + "\n".join(" " * a[0] + line if line else "" for line in a[1].split("\n"))
        if name == "toYaml":
            return yaml.safe_dump(a[0], default_flow_style=False, sort_keys=True, width=10**6).rstrip("\n").removesuffix("\n...")
        if name == "quote":
            return '"' + _scalar(a[0]).replace("\\", "\\\\").replace('"', '\\"') + '"'
        if name == "default":
            return a[1] if a[1] else a[0]
        raise TemplateError(f"function {name} isn't known")
