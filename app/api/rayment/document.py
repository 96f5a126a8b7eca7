"""What Rayment's OpenAPI file says of each operation: bodies, answers and errors, in JSON Schema."""

from typing import Any

from app.api import idempotency

Schema = dict[str, Any]

INTRODUCTION = """Submit a scene, get a 402 with the price, pay it on Solana with the memo, show the transaction, download it.

Providers sign what they send with their Solana wallet: ed25519 over the UTF-8 text named at each operation, in base58 or base64.
`timestamp` (milliseconds) may be sent beside `signature`; the message then ends in `:{timestamp}`, is good once and for 300 s,
and from then on the provider's shorter messages are refused.

`/ws` is a websocket. Send `{"type":"auth","providerId","timestamp","signature"}`, signed over `ws:{providerId}:{timestamp}`, and
be answered `{"type":"authenticated"}`; or `{"type":"subscribe","jobId"}` to watch one job. Events: job:new, job:paid,
job:started, job:progress, job:completed, job:failed, and a heartbeat every 30 s.

Limits per address: POST /render 10 a minute, the providers' list and details 60, everything else 120. 429 carries Retry-After.
POSTs that move money take `Idempotency-Key`: the same key and body get the same answer for 24 hours."""


def text(description: str = "", **more: Any) -> Schema:
    return {"type": "string", **({"description": description} if description else {}), **more}


def number(description: str = "", **more: Any) -> Schema:
    return {"type": "number", **({"description": description} if description else {}), **more}


def whole(description: str = "", **more: Any) -> Schema:
    return {"type": "integer", **({"description": description} if description else {}), **more}


def record(optional: tuple[str, ...] = (), /, **members: Schema) -> Schema:
    """An object; members may be added to it in later versions, those here stay."""
    return {"type": "object", "required": [name for name in members if name not in optional], "properties": members}


def listed(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


UUID = text(format="uuid")
MOMENT = whole("milliseconds since 1970")
ENGINES, FORMATS = ["cycles", "eevee"], ["PNG", "JPEG", "EXR"]
PROVIDER_STATUS = text(enum=["online", "offline", "busy", "maintenance"])
JOB_STATUS = text(enum=["pending_payment", "paid", "queued", "rendering", "completed", "failed", "cancelled"])
SIGNATURE = text("of the provider's wallet, base58 or base64")
TIMESTAMP = {"type": ["integer", "string"], "description": "milliseconds; see the introduction"}

SCHEMAS: dict[str, Schema] = {
    "Pricing": record(
        pricePerFrame=number("SOL", example=0.001),
        pricePerSecond=number("SOL", example=0.0001),
        pricePerGb=number("SOL per GiB of the scene", example=0.01),
        minimumPrice=number("SOL", example=0.005),
        currency=text(enum=["SOL"]),
    ),
    "Spec": {
        **record(
            ("gpus", "gpuCount", "totalVram", "maxFileSize", "supportedFormats", "blenderVersion", "renderEngines"),
            gpus=listed(record(name=text(example="RTX 4090"), vram=number("GiB", example=24))),
            gpuCount=whole(example=1),
            totalVram=number("GiB", example=24),
            maxFileSize=number("MiB", example=2000),
            supportedFormats=listed(text(example=".blend")),
            blenderVersion=text(example="4.5"),
            renderEngines=listed(text(example="cycles")),
        ),
        "description": "what the provider can do; members of its own are kept",
    },
    "Provider": record(
        id=UUID,
        name=text(),
        wallet=text("Solana address that is paid"),
        endpoint={"type": ["string", "null"], "description": "where paid jobs are pushed to"},
        spec=ref("Spec"),
        pricing=ref("Pricing"),
        status=PROVIDER_STATUS,
        rating=number(),
        completedJobs=whole(),
        registeredAt=MOMENT,
        lastSeen={"type": ["integer", "null"]},
    ),
    "Settings": record(
        ("resolution", "frames", "engine", "samples", "outputFormat"),
        resolution=record(width=whole(example=1920), height=whole(example=1080)),
        frames=record(start=whole(example=1), end=whole(example=1)),
        engine=text(enum=ENGINES),
        samples=whole(example=128),
        outputFormat=text(enum=FORMATS),
    ),
    "Breakdown": record(
        basePrice=number("the sum of the fees, or the provider's minimum"),
        fileSizeFee=number(),
        frameFee=number(),
        estimatedRenderFee=number("60 s for the job, or the seconds that this scene was measured to take"),
        platformFee=number(),
        total=number("rounded to 6 decimals"),
    ),
    "Quote": record(
        success={"type": "boolean", "const": False},
        error=text(example="Payment Required"),
        payment=record(
            jobId=UUID,
            price=number("SOL"),
            breakdown=ref("Breakdown"),
            payTo=text("Solana address"),
            expiresAt=MOMENT,
            memo=text("to be sent with the payment, as it is"),
            warnings=listed(text()),
        ),
    ),
    "Refund": record(
        amount=number(), currency=text(example="SOL"), reason=text(), status=text(enum=["owed", "credited", "paid"])
    ),
    "Job": record(
        ("paymentTx", "startedAt", "completedAt", "finalPrice", "renderTime", "resultUrl", "error", "refund"),
        id=UUID,
        clientWallet=text(),
        providerId=UUID,
        status=JOB_STATUS,
        fileName=text(),
        fileSize=whole("bytes"),
        fileHash=text("SHA-256"),
        settings=ref("Settings"),
        estimatedPrice=number("SOL"),
        paymentTx=text(),
        paymentStatus=text(enum=["pending", "confirming", "confirmed", "failed"]),
        createdAt=MOMENT,
        startedAt=MOMENT,
        completedAt=MOMENT,
        finalPrice=number("SOL"),
        renderTime=number("seconds"),
        resultUrl=text(),
        error=text(),
        framesTotal=whole(),
        framesCompleted=whole(),
        progress=number("0 to 1"),
        warnings=listed(text()),
        transactions=listed(
            record(
                txSignature=text(),
                status=text(enum=["pending", "accepted", "refused", "refundable"]),
                code={"type": ["string", "null"]},
                message={"type": ["string", "null"]},
            )
        ),
        refund=ref("Refund"),
        refunds=listed(ref("Refund")),
    ),
    "RaymentError": record(
        ("code",), success={"type": "boolean", "const": False}, error=text("what to do about it"), code=text("for programs")
    ),
}

ERRORS = {
    400: "Bad request",
    401: "Unauthorized (invalid signature)",
    402: "Rendered, and to be paid before it is given out",
    404: "Not found",
    409: "Used before, or in the wrong state",
    413: "Too large",
    429: "Too many requests; see Retry-After",
    503: "No provider fits, or something is away for the moment",
}
KEY = idempotency.PARAMETER


def answers(code: int, schema: Schema | None, *errors: int, description: str = "OK", media: str = "application/json") -> Schema:
    """The answers of an operation: one that is wanted, and the errors that it has of its own."""
    wanted: Schema = {"description": description}
    if schema is not None:
        wanted["content"] = {media: {"schema": schema}}
    found = {str(code): wanted}
    for error in errors:
        found[str(error)] = {"description": ERRORS[error], "content": {"application/json": {"schema": ref("RaymentError")}}}
    return {"responses": found}


def success(**members: Schema) -> Schema:
    return record(success={"type": "boolean", "const": True}, data=record(**members))


def wrapped(schema: Schema) -> Schema:
    return record(success={"type": "boolean", "const": True}, data=schema)


def body(schema: Schema, media: str = "application/json") -> Schema:
    return {"requestBody": {"required": True, "content": {media: {"schema": schema}}}}


def query(name: str, schema: Schema, description: str) -> Schema:
    return {"in": "query", "name": name, "schema": schema, "description": description}


FORM = "multipart/form-data"
FILE = text(format="binary")
DONE = {"jobId": UUID, "status": text(), "message": text()}

HEALTH = answers(200, record(status=text(example="ok"), service=text(example="rayment-hub"), version=text(example="1.0.0")))
STATS = answers(200, success(
    totalProviders=whole(), onlineProviders=whole(), totalJobs=whole("paid ones"), completedJobs=whole(),
    totalVolumeSOL=number(), avgRenderTime=number("seconds"),
))
PROVIDERS = {
    **answers(200, success(providers=listed(ref("Provider")), total=whole("of all pages")), 400),
    "parameters": [
        query("status", PROVIDER_STATUS, "only these"),
        query("limit", whole(minimum=1, maximum=1000, default=1000), "rows in this page"),
        query("offset", whole(minimum=0, default=0), "rows before it"),
    ],
}
PROVIDER = answers(200, wrapped(ref("Provider")), 404)
X402 = {
    "in": "header",
    "name": "PAYMENT-SIGNATURE",
    "schema": {"type": "string", "maxLength": 16_384},
    "description": "a payment by x402 of what was quoted before",
}
PAID = success(jobId=UUID, status=JOB_STATUS, message=text())
SUBMIT = {
    **body(record(
        ("providerId", "settings"),
        file={**FILE, "description": ".blend .obj .fbx .gltf .glb .stl, or a zip of one with what it needs"},
        clientWallet=text("Solana address that pays and that refunds go to"),
        providerId=text("the preferred provider; the best fitting one without it", format="uuid"),
        settings=text("Settings as JSON", example='{"frames":{"start":1,"end":1},"samples":128}'),
    ), FORM),
    "responses": {
        **answers(402, ref("Quote"), 400, 404, 409, 413, 429, 503, description=(
            "The quote: pay `price` to `payTo` with `memo`. PAYMENT-REQUIRED asks for the same by x402, where the hub pays fees: "
            "the form is sent again with PAYMENT-SIGNATURE"
        ))["responses"],
        **answers(200, PAID, description="paid by x402, with PAYMENT-RESPONSE")["responses"],
        **answers(202, PAID, description="handed over by x402, and not known to be final yet")["responses"],
    },
    "parameters": [KEY, X402],
}
PAY = {
    **body(record(jobId=UUID, txSignature=text("base58"))),
    **answers(200, PAID, 400, 404, 409),
    "parameters": [KEY],
}
JOB = answers(200, wrapped(ref("Job")), 404)
RESULT = {
    **answers(200, FILE, 400, 402, 404, description="The picture, or a zip of several frames", media="application/octet-stream"),
    "parameters": [query("frame", whole(), "this frame alone")],
}
REGISTER = {
    **body(record(
        ("timestamp",), name=text(maxLength=100), wallet=text("Solana address"), endpoint=text(format="uri"), spec=ref("Spec"),
        pricing=ref("Pricing"), signature=SIGNATURE, timestamp=TIMESTAMP,
    )),
    **answers(200, success(providerId=UUID, message=text()), 400, 401, 409),
    "description": "Signed: `register:{wallet}:{name}`",
}
STATUS = {
    **body(record(("timestamp",), providerId=UUID, status=PROVIDER_STATUS, signature=SIGNATURE, timestamp=TIMESTAMP)),
    **answers(200, success(providerId=UUID, status=PROVIDER_STATUS, message=text()), 400, 401, 404, 409),
    "description": "Signed: `status:{providerId}:{status}`",
}
PRICING = {
    **body(record(("timestamp",), providerId=UUID, pricing=ref("Pricing"), signature=SIGNATURE, timestamp=TIMESTAMP)),
    **answers(200, success(providerId=UUID, pricing=ref("Pricing"), message=text()), 400, 401, 404, 409),
    "description": "Signed: `pricing:{providerId}:{pricing}`, with `pricing` as the text that stands in the body.",
}
COMPLETE = {
    **body(record(
        ("timestamp",), result={**FILE, "description": "the picture, or a zip of the frames"}, providerId=UUID,
        renderTime=text("seconds"), signature=SIGNATURE, timestamp=text(),
    ), FORM),
    **answers(200, success(**DONE), 400, 401, 404, 409, 413),
    "parameters": [KEY],
    "description": "Signed: `complete:{jobId}:{renderTime}`, with `renderTime` as it stands in the form.",
}
FAILED = {
    **body(record(("signature", "timestamp"), providerId=UUID, error=text(), signature=SIGNATURE, timestamp=TIMESTAMP)),
    **answers(200, success(**DONE), 400, 401, 404, 409),
    "parameters": [KEY],
    "description": "Signed: `failed:{jobId}`. Unsigned it is noted, and counts after 60 s without a sign of life.",
}
