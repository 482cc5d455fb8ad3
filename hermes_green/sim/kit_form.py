"""Forms with files (multipart/form-data), as simulated platforms receive them."""

from __future__ import annotations

from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import HTTP

from hermes_green.sim.kit_http import Request


@dataclass(frozen=True, slots=True)
class FormFile:
    """One file of a form."""

    name: str
    mime: str
    data: bytes


def form_of(request: Request) -> tuple[dict[str, str], dict[str, FormFile]]:
    """The fields and the files of a form; both empty when it is none."""
    head = f"Content-Type: {request.headers.get('content-type', '')}\r\n\r\n".encode()
    whole = BytesParser(policy=HTTP).parsebytes(head + request.body)
    fields: dict[str, str] = {}
    files: dict[str, FormFile] = {}
    for part in whole.iter_parts() if whole.is_multipart() else ():
        field = str(part.get_param("name", header="content-disposition") or "")
        data = part.get_payload(decode=True)
        assert isinstance(data, bytes)
        if part.get_filename() is None:
            fields[field] = data.decode("utf-8", "replace")
        else:
            files[field] = FormFile(str(part.get_filename()), part.get_content_type(), data)
    return fields, files
