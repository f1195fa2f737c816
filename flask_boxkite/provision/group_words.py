"""The name of a group for people, as a part of Prometheus' templates: the words of the page, of the label ``group``.

A label cannot change while an alert fires, and series have no room for a second name. So the template makes the words
of the label: names of special groups, and intervals with short bounds. Prometheus has no function that reads a number
from a text; a query of one does.
"""

from __future__ import annotations

from flask_boxkite.drift.wording import SPECIAL_WORDS

__all__ = ["GROUP_WORDS"]

_NUMBER = r"(-?[0-9.]+(?:e[+-]?[0-9]+)?)"
_INTERVAL = rf"^[(\[]{_NUMBER},{_NUMBER}\]$$"
_MOMENTS = r"^[(\[]([0-9TZ:.-]+),([0-9TZ:.-]+)\]$$"
_WHOLE = r"^(-?[0-9]+)\.0$$"

_BOUND = """\
{{{{ range query (printf `vector(%s)` (reReplaceAll `{interval}` `$${place}` .Labels.group)) -}}}}
{{{{ if and (gt .Value -1e4) (lt .Value 1e4) }}}}{{{{ printf `%.4g` .Value }}}}
{{{{- else }}}}{{{{ printf `%.0f` .Value }}}}{{{{ end }}}}{{{{ end }}}}"""
_LOWER, _UPPER = (_BOUND.format(interval=_INTERVAL, place=place) for place in (1, 2))

_SPECIAL = "{{ else if ".join(f"eq .Labels.group `{name}` }}}}{word}" for name, word in SPECIAL_WORDS.items())

GROUP_WORDS = f"""\
{{{{ if {_SPECIAL}
{{{{- else if match `{_INTERVAL}` .Labels.group }}}}{_LOWER} to {_UPPER}
{{{{- else if match `{_MOMENTS}` .Labels.group }}}}{{{{ reReplaceAll `{_MOMENTS}` `$$1 to $$2` .Labels.group }}}}
{{{{- else }}}}{{{{ reReplaceAll `{_WHOLE}` `$$1` .Labels.group }}}}{{{{ end }}}}"""
"""Template of the words for ``.Labels.group``; a ``$$`` becomes a ``$`` of Prometheus."""
