# SPDX-License-Identifier: GPL-3.0-or-later
"""Gemini's dialect: generateContent, streamGenerateContent, countTokens. Members in camelCase or snake_case."""
import json
import re
import urllib.parse

from model_dialects import Refusal, check_schema, data_event, ident, piece_size, pieces
from model_script import History, Tool

KNOWN = set("""continuationToken contents systemInstruction tools toolConfig safetySettings generationConfig cachedContent model
    serviceTier store labels""".split())
COUNTED = {"contents", "generateContentRequest", "model"}
CONFIG = set("""stopSequences responseMimeType responseSchema responseJsonSchema _responseJsonSchema responseFormat
    responseModalities candidateCount maxOutputTokens temperature topP topK seed presencePenalty frequencyPenalty
    responseLogprobs logprobs enableEnhancedCivicAnswers speechConfig thinkingConfig imageConfig
    mediaResolution""".split())
PART = set("""text inlineData functionCall functionResponse fileData executableCode codeExecutionResult thought
    thoughtSignature videoMetadata partMetadata mediaResolution""".split())
STATUS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
          429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}
ROUTE = re.compile(r"/v1(?:beta|alpha)?/models/([^/:]+):(generateContent|streamGenerateContent|countTokens)")


def refuse(message, status=400, details=None):
    error = {"code": status, "message": message, "status": STATUS.get(status, "UNKNOWN")}
    if details:
        error["details"] = details
    return Refusal(status, {"error": error})


def fault(status):
    known = {401: "Request had invalid authentication credentials.", 403: "Permission denied.",
             404: "models/unknown is not found.", 429: "Resource has been exhausted (e.g. check quota).",
             500: "An internal error has occurred.", 503: "The model is overloaded. Please try again later."}
    return refuse(known.get(status, f"status {status}"), status).doc


def camel(doc):
    """A protobuf message as JSON may name its members either way."""
    return {re.sub(r"(?<=[a-z])_([a-z])", lambda m: m[1].upper(), name): value for name, value in doc.items()}


def check_names(doc, known, where):
    for name in doc:
        if name not in known:
            place = f" at '{where}'" if where else ""
            raise refuse(f"Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot find field.")


class Gemini:
    name = "gemini"
    has_cache_write = False
    fault = staticmethod(fault)

    @staticmethod
    def too_long(tokens, limit):
        return refuse(f"The input token count ({tokens}) exceeds the maximum number of tokens allowed ({limit}).")

    @staticmethod
    def auth(request, keys):
        query = urllib.parse.parse_qs(request.query)
        key = request.header("x-goog-api-key") or query.get("key", [""])[0]
        if not key:
            raise refuse("Method doesn't allow unregistered callers (callers without established identity). Please "
                         "use API Key or other form of API consumer identity to call this API.", 403)
        if keys is not None and key not in keys:
            raise refuse("API key not valid. Please pass a valid API key.", 400,
                         [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID",
                           "domain": "googleapis.com"}])
        return key

    @classmethod
    def check(cls, request, is_model):
        model, method = ROUTE.fullmatch(urllib.parse.unquote(request.path)).groups()
        if not is_model(model):
            raise refuse(f"models/{model} is not found for API version v1beta, or is not supported for {method}. "
                         "Call ListModels to see the list of available models and their supported methods.", 404)
        if not request.is_json():
            raise refuse(f"Invalid content type {request.header('content-type')}: expected application/json.")
        doc = camel(request.load(lambda text: refuse(f"Invalid JSON payload received. {text}")))
        if method == "countTokens":
            check_names(doc, COUNTED, "")
            doc = camel(doc.get("generateContentRequest") or doc)
        check_names(doc, KNOWN, "")
        config = camel(doc.get("generationConfig") or {})
        check_names(config, CONFIG, "generation_config")
        if "responseJsonSchema" in config:
            if config.get("responseMimeType") != "application/json":
                raise refuse("Response schema is only supported with response mime type 'application/json'.")
            check_schema(config["responseJsonSchema"], lambda text: refuse(
                f"* GenerateContentRequest.generation_config.response_json_schema: {text}\n"))
        contents = doc.get("contents")
        if not contents:
            raise refuse("* GenerateContentRequest.contents: contents is not specified\n")
        if isinstance(contents, dict):
            contents = [contents]
        cls.check_contents(contents)
        if "thinks" in model:
            cls.check_signatures(contents)
        for at, tool in enumerate(doc.get("tools") or []):
            for number, one in enumerate(camel(tool).get("functionDeclarations") or []):
                if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}", str(one.get("name", ""))):
                    raise refuse(f"* GenerateContentRequest.tools[{at}].function_declarations[{number}].name: "
                                 "Invalid function name.\n")
        request.gemini = {**doc, "contents": contents}
        return model

    @staticmethod
    def check_signatures(contents):
        for at, content in enumerate(contents):
            calls = [part for part in map(camel, content["parts"]) if "functionCall" in part]
            if calls and not calls[0].get("thoughtSignature"):
                raise refuse(f"Function call is missing a thought_signature in functionCall parts, position {at}.")

    @classmethod
    def check_contents(cls, contents):
        calls = 0
        for at, content in enumerate(contents):
            if not isinstance(content, dict):
                raise refuse(f"Invalid value at 'contents[{at}]'")
            check_names(content, {"role", "parts"}, f"contents[{at}]")
            if content.get("role", "user") not in ("user", "model", "function"):
                raise refuse("Please use a valid role: user, model.")
            if not content.get("parts"):
                raise refuse(f"* GenerateContentRequest.contents[{at}].parts: contents.parts must not be empty.\n")
            parts = [camel(part) for part in content["parts"]]
            for number, part in enumerate(parts):
                check_names(part, PART, f"contents[{at}].parts[{number}]")
                if not set(part) - {"thought", "thoughtSignature"}:
                    raise refuse(f"* GenerateContentRequest.contents[{at}].parts[{number}].data: required oneof field "
                                 "'data' must have one initialized field\n")
            responses = sum("functionResponse" in part for part in parts)
            if calls != responses:
                raise refuse("Please ensure that the number of function response parts is equal to the number of "
                             "function call parts of the function call turn.")
            calls = sum("functionCall" in part for part in parts)
            if calls and content.get("role") != "model":
                raise refuse("Please ensure that function call turn comes immediately after a user turn or after a "
                             "function response turn.")
        if calls:
            raise refuse("Please ensure that function response turn comes immediately after a function call turn.")
        if contents[-1].get("role") == "model":
            raise refuse("Please ensure that single turn requests end with a user role or the role field is empty.")

    @staticmethod
    def history(request):
        doc = request.gemini
        users, assistants, results = [], [], 0
        for content in doc["contents"]:
            parts = [camel(part) for part in content["parts"]]
            text = "".join(part.get("text", "") for part in parts if not part.get("thought"))
            results += sum("functionResponse" in part for part in parts)
            (assistants if content.get("role") == "model" else users).append(text)
        tools = []
        for tool in doc.get("tools") or []:
            for one in camel(tool).get("functionDeclarations") or []:
                one = camel(one)
                tools.append(Tool(one["name"], one.get("parametersJsonSchema") or one.get("parameters") or {}))
        system = doc.get("systemInstruction") or {}
        parts = system.get("parts", []) if isinstance(system, dict) else []
        parts = [parts] if isinstance(parts, dict) else parts
        return History(users, assistants, results, tools, "".join(p.get("text", "") for p in parts))

    @staticmethod
    def usage(usage):
        said = usage["output"] - usage["reasoning"]
        doc = {"promptTokenCount": usage["input"], "candidatesTokenCount": said,
               "totalTokenCount": usage["input"] + usage["output"],
               "promptTokensDetails": [{"modality": "TEXT", "tokenCount": usage["input"]}]}
        if usage["cached"]:
            doc["cachedContentTokenCount"] = usage["cached"]
        if usage["reasoning"]:
            doc["thoughtsTokenCount"] = usage["reasoning"]
        return doc

    @staticmethod
    def document(request, parts, served, usage, finish=None):
        candidate = {"content": {"parts": parts, "role": "model"}}
        if finish:
            candidate["finishReason"] = finish
        candidate["index"] = 0
        doc = {"candidates": [candidate]}
        if usage:
            doc["usageMetadata"] = usage
        return {**doc, "modelVersion": served, "responseId": ident("fake", request)}

    @staticmethod
    def calls(turn):
        return [{"functionCall": {"name": call.tool.name, "args": call.arguments},
                 **({"thoughtSignature": "ZmFrZQ=="} if at == 0 else {})} for at, call in enumerate(turn.calls)]

    @staticmethod
    def finish(turn):
        return "MAX_TOKENS" if turn.stop == "length" else turn.stop or "STOP"

    @classmethod
    def answer(cls, request, turn, served, reported):
        if request.path.endswith(":countTokens"):
            total = turn.usage["input"]
            return json.dumps({"totalTokens": total, "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": total}]}, indent=2).encode() + b"\n"
        if turn.refusal:
            doc = cls.document(request, [], served, cls.usage(turn.usage) if reported else None, "SAFETY")
            del doc["candidates"][0]["content"]
            return json.dumps(doc).encode()
        parts = ([{"text": turn.text}] if turn.text or not turn.calls else []) + cls.calls(turn)
        doc = cls.document(request, parts, served, cls.usage(turn.usage) if reported else None, cls.finish(turn))
        return json.dumps(doc, ensure_ascii=False, indent=2).encode() + b"\n"

    @classmethod
    def events(cls, request, turn, served, reported):
        usage = cls.usage(turn.usage)
        # Every chunk counts what was said so far: only the last one is the usage.
        partial = {k: v for k, v in usage.items() if k.startswith(("prompt", "total"))} if reported else None
        parts = [[{"text": piece}] for piece in pieces(turn.text, piece_size(turn.text))]
        if turn.calls or not parts:
            parts.append(cls.calls(turn) or [{"text": ""}])
        docs = [cls.document(request, part, served, partial) for part in parts[:-1]]
        docs.append(cls.document(request, parts[-1], served, usage if reported else None, cls.finish(turn)))
        if turn.refusal:
            docs = [cls.document(request, [], served, usage if reported else None, "SAFETY")]
            del docs[0]["candidates"][0]["content"]
        if "alt=sse" in request.query.split("&"):
            # As the real one: lines end in CR LF.
            yield from (data_event(doc).replace(b"\n\n", b"\r\n\r\n") for doc in docs)
        else:
            texts = [json.dumps(doc, ensure_ascii=False, indent=2) for doc in docs]
            yield from (("[" if at == 0 else ",\r\n").encode() + text.encode() for at, text in enumerate(texts))
            yield b"\n]\n"

    @staticmethod
    def streams(request):
        return request.path.endswith(":streamGenerateContent")
