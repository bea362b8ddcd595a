# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a request of AWS is signed as it must be (Signature Version 4): what the services themselves check, and more strictly."""
import base64
import datetime
import hashlib
import hmac
import re
from urllib.parse import parse_qsl, quote


def now():
    return datetime.datetime.now(datetime.timezone.utc)


def digest(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def encode(text):
    return quote(text, safe="-._~")


def canonical_query(query, without=()):
    pairs = [(k, v) for k, v in parse_qsl(query.replace("+", "%2B"), keep_blank_values=True) if k not in without]
    return "&".join(f"{k}={v}" for k, v in sorted((encode(k), encode(v)) for k, v in pairs))


def sign(secret, when, scope, request):
    text = "\n".join(["AWS4-HMAC-SHA256", when, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = digest(key, part)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def canonical_request(method, path, service, query, headers, signed, payload):
    if service != "s3":
        path = quote(path, safe="/-._~")
    lines = "".join(f"{n}:{re.sub(' +', ' ', headers.get(n, '').strip())}\n" for n in signed)
    return "\n".join([method, path, query, lines, ";".join(signed), payload])


class Refused(Exception):
    def __init__(self, status, code, text):
        super().__init__(text)
        self.status, self.code, self.text = status, code, text


def check_presigned(method, path, query, headers, keys):
    given = dict(parse_qsl(query, keep_blank_values=True))
    key_id, scope = given["X-Amz-Credential"].split("/", 1)
    if key_id not in keys:
        raise Refused(403, "InvalidAccessKeyId", "no such key")
    request = canonical_request(method, path, "s3", canonical_query(query, {"X-Amz-Signature"}), headers,
                                given["X-Amz-SignedHeaders"].split(";"), "UNSIGNED-PAYLOAD")
    if sign(keys[key_id]["secret"], given["X-Amz-Date"], scope, request) != given["X-Amz-Signature"]:
        raise Refused(403, "SignatureDoesNotMatch", "the signature does not match")
    begun = datetime.datetime.strptime(given["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    if now() > begun + datetime.timedelta(seconds=int(given["X-Amz-Expires"])):
        raise Refused(403, "AccessDenied", "Request has expired")


def check(method, path, query, headers, body, keys, service, region, skew=0):
    """Raise Refused, or say whose key it was. HEADERS: small names. KEYS: id -> {secret, token, expires}."""
    if "X-Amz-Signature" in query:
        return check_presigned(method, path, query, headers, keys)
    m = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, "
                     r"SignedHeaders=([^,]+), Signature=([0-9a-f]{64})", headers.get("authorization", ""))
    if not m:
        raise Refused(403, "AccessDenied", "no signature that could be read")
    key_id, day, where, what, signed, signature = m.groups()
    key, signed, when = keys.get(key_id), signed.split(";"), headers.get("x-amz-date", "")
    if not key:
        raise Refused(403, "InvalidAccessKeyId" if service == "s3" else "UnrecognizedClientException", "no such key")
    if key.get("expired"):
        raise Refused(400, "ExpiredToken" if service == "s3" else "ExpiredTokenException", "the token has expired")
    if key.get("token") and headers.get("x-amz-security-token") != key["token"]:
        raise Refused(403, "InvalidToken", "the session token is missing or another's")
    if what != service or where != region:
        raise Refused(400, "AuthorizationHeaderMalformed", f"signed for {where}/{what}, not {region}/{service}")
    if signed != sorted(signed) or "host" not in signed:
        raise Refused(403, "SignatureDoesNotMatch", "signed headers are not in order, or lack host")
    unsigned = [n for n in headers if n.startswith("x-amz-") and n not in signed]
    if unsigned:
        raise Refused(403, "AccessDenied", f"headers that are not signed: {unsigned}")
    begun = datetime.datetime.strptime(when, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    if abs((now() + datetime.timedelta(seconds=skew) - begun).total_seconds()) > 300:
        raise Refused(403, "RequestTimeTooSkewed" if service == "s3" else "InvalidSignatureException", "Signature expired")
    payload = headers.get("x-amz-content-sha256") if service == "s3" else hashlib.sha256(body).hexdigest()
    if not payload:
        raise Refused(400, "InvalidRequest", "no x-amz-content-sha256")
    request = canonical_request(method, path, service, canonical_query(query), headers, signed, payload)
    if sign(key["secret"], when, f"{day}/{where}/{what}/aws4_request", request) != signature:
        raise Refused(403, "SignatureDoesNotMatch", "the signature does not match")
    if payload != "UNSIGNED-PAYLOAD" and payload != hashlib.sha256(body).hexdigest():
        raise Refused(400, "XAmzContentSHA256Mismatch", "the body is not what was signed")
    checksum = headers.get("x-amz-checksum-sha256")
    if checksum and checksum != base64.b64encode(hashlib.sha256(body).digest()).decode():
        raise Refused(400, "BadDigest", "x-amz-checksum-sha256 is not the body's")
    md5 = headers.get("content-md5")
    if md5 and md5 != base64.b64encode(hashlib.md5(body).digest()).decode():
        raise Refused(400, "BadDigest", "Content-MD5 is not the body's")
    return key_id


