"""What modules of Ansible answer, in the shape that Ansible wants it."""

from __future__ import annotations

from typing import Any, Mapping


def result(
    subject: str, before: Mapping[str, Any], after: Mapping[str, Any], *, changed: bool, with_diff: bool, **more: Any
) -> dict[str, Any]:
    """The answer of a module that changes a thing; the difference only where it is asked for."""
    answer = {"changed": changed, "before": before, "after": after, **more}
    if with_diff:
        answer["diff"] = difference(subject, before, after)
    return answer


def difference(subject: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What Ansible shows line by line."""
    return {"before_header": subject, "after_header": subject, "before": dict(before), "after": dict(after)}
