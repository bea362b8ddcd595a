# SPDX-License-Identifier: GPL-3.0-or-later
"""What the four dialects have in common: a request, a refusal in the provider's own shape, helpers to check."""
import json


class Refusal(Exception):
    """The provider says no: status and the body in its own shape."""

    def __init__(self, status, doc, headers=()):
        super().__init__(f"{status} {doc}")
        self.status, self.doc, self.headers = status, doc, list(headers)


class Request:
    """One request as it came: headers is a list of pairs, body the exact bytes."""

    def __init__(self, number, method, target, headers, body):
        self.number, self.method, self.target, self.headers, self.body = number, method, target, headers, body
        self.path, _, self.query = target.partition("?")
        self.doc = None

    def header(self, name, default=None):
        name = name.lower()
        return next((value for key, value in self.headers if key.lower() == name), default)

    def load(self, refuse):
        """Parse the body; refuse(text) makes the Refusal of this dialect."""
        try:
            self.doc = json.loads(self.body.decode("utf-8"), parse_constant=no_constant)
        except (ValueError, RecursionError) as error:
            raise refuse(f"could not parse the JSON body of your request: {error}") from error
        if not isinstance(self.doc, dict):
            raise refuse("the JSON body of your request is not an object")
        return self.doc

    def is_json(self):
        kind = (self.header("content-type") or "").partition(";")[0].strip().lower()
        return kind == "application/json"


SCHEMA_WORDS = set("""type properties required additionalProperties description enum items anyOf $defs $ref const title
    """.split())


def check_schema(schema, wrong, at="schema"):
    """What strict structured output takes, at every provider: all members required, nothing further, no bounds."""
    if not isinstance(schema, dict):
        raise wrong(f"{at}: not an object")
    for word in schema:
        if word not in SCHEMA_WORDS:
            raise wrong(f"{at}: '{word}' is not permitted")
    if "anyOf" in schema:
        for number, one in enumerate(schema["anyOf"]):
            check_schema(one, wrong, f"{at}.anyOf.{number}")
        return
    if schema.get("type") not in ("object", "array", "string", "number", "integer", "boolean", "null"):
        raise wrong(f"{at}: 'type' is missing or unknown")
    if schema["type"] == "array":
        check_schema(schema.get("items"), wrong, at + ".items")
    if schema["type"] != "object":
        return
    if schema.get("additionalProperties") is not False:
        raise wrong(f"{at}: 'additionalProperties' is required to be supplied and to be false")
    members = schema.get("properties", {})
    if sorted(schema.get("required", [])) != sorted(members):
        raise wrong(f"{at}: 'required' is required to be supplied and to be an array including every key in properties")
    for name, one in members.items():
        check_schema(one, wrong, f"{at}.{name}")


def no_constant(name):
    raise ValueError(f"{name} is no JSON")


def compact(doc):
    return json.dumps(doc, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def pieces(text, size=9):
    """A text in the pieces that a stream brings."""
    return [text[at:at + size] for at in range(0, len(text), size)]


def piece_size(text):
    """Small for what people read; a huge answer need not be a million events."""
    return max(9, len(text) // 200)


def data_event(doc):
    return b"data: " + compact(doc) + b"\n\n"


def named_event(doc):
    return b"event: " + doc["type"].encode() + b"\n" + data_event(doc)


def ident(prefix, request, index=0):
    """An id that the same request number always gets."""
    return f"{prefix}{request.number:08x}{index:04x}"
