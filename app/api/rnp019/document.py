"""What the dialect's OpenAPI file says beside its schemas."""

from typing import Any

INTRODUCTION = """Sign in with a wallet, make API keys for programs, order renders, and say where earnings go. One sign-in
serves every API of this hub.

Ask for a challenge with `POST /rnp/v1/wallet/challenge`, have the wallet sign it, and send that to `POST /rnp/v1/wallet/login`.
A Solana wallet signs the `message`; a TON wallet (v3r2, v4r2, v5r1) answers TON Connect's `ton_proof` for the `payload`, and its
`walletStateInit` goes with it as `state_init`: its key is taken from there. Only a deployed wallet may go without, where the hub
can ask the chain. A challenge is good once, for one wallet, for 5 minutes.

Send the access token (30 minutes) or an API key as `Authorization: Bearer …`, or the key as `X-API-Key`. The next pair of tokens
comes from `POST /api/v1/auth/refresh`; `POST /api/v1/auth/logout` ends the sign-in. A login also sets an HttpOnly cookie, which
`/ws/metrics` takes from pages of this hub and nothing else does.

A scene is its bytes: `POST /rnp/v1/scenes` takes the file (form field `file`), or its `sha256`, `size_bytes` and `name`. Bytes
that this account has sent before are not asked for again; what others have sent counts for nothing, since a hash is no secret.
An announced scene goes to its `upload_url`, which needs no other credential: PUT sends all of it, or tus 1.0.0 sends it in parts
(HEAD tells the `Upload-Offset` to go on from, PATCH goes on). What came before a connection broke is kept. The status is
`uploading`, then `inspecting` until a node has opened it in its sandbox, then `ready` with what Blender saw, or `rejected`
with the reason. A zip holds one scene with the files that it needs. A scene that no job uses is deleted after a while.

Earnings go to the newest usable of one's `payout-addresses` on their chain: a wallet that has signed in to the account or was
linked to it. The wallet that the account began with counts at once, another one after a cool-off.

Ask `POST /rnp/v1/estimates` first, with the body of the job: for each tier the `cost`, which is the most that it will cost, what
it will probably cost, and the time until the last frame with its error bar. They come from frames of these very bytes that were
rendered before; with `probe`, two small ones are rendered to see, free and so many a day; else from a guess. `GET /rnp/v1/tiers`
tells what is free now. Frames of the tier `economy` come after all others, until they have waited for `wait_seconds_most`:
then they have half of what nodes have in hand.

Order a render of a scene with `POST /rnp/v1/jobs`: frames, settings, a tier and how it is paid. It is priced by the hours of
nodes, in RENDER, and paid in RCREDIT, RENDER, USDC, USDT or SOL at the rate of that moment: from the balance (`credits`), on the
chain before it begins (`prepay`), or when it is done (`pay_before_download`). What was quoted is never exceeded, nor is
`max_amount`: a job that reaches it pauses and asks. Frames are charged as they come in; what is left comes back. Jobs that this
account ordered through other APIs are listed too, and are changed where they were ordered. A POST that moves money takes
`Idempotency-Key`: same key and body, same answer for a day.

A `prompt` instead of a `scene_id` has each frame made as a picture (PNG) from its text or, with `output_format` MP4, all as one
video, by nodes whose hosts have a server for that; 503 while there is none.

Follow it by `GET /rnp/v1/jobs/{id}/events` (server-sent events; send `Last-Event-ID` to go on where a connection broke: nothing
is missed), and frame by frame by `GET /rnp/v1/jobs/{id}/frames`. Finished pictures are at `frames/{n}`, or in one zip at
`frames.zip`; a job with `pay_before_download` answers 402 there until it is paid, and shows small, watermarked pictures at
`frames/{n}/preview`. Jobs that were ordered through another API are delivered here, too, but have no events here (409): follow
them there, or ask `GET /rnp/v1/jobs/{id}` now and then.

A heavy still is rendered by many nodes with `settings.tiles`, such as `2x2`, or `auto`: the hub puts the tiles together to
exactly the picture that one node would render, in PNG or EXR, and each tile is charged as it comes in. What looks beyond a
pixel can't be done in parts, and is refused with the reason: the denoiser and adaptive sampling are switched off by `denoise`
and `adaptive_sampling`, a compositor is the scene's own. With `output_format` MP4 and two frames or more, a node joins the
frames at `fps` as the job's last unit, charged like a frame; the file is at `GET /rnp/v1/jobs/{id}/video`. With
`pay_before_download` only a node of the hub's operator joins them; while none is there, such an order is refused (503).

Money: `credits` tells what there is. A top-up (`POST /rnp/v1/credits/topups`) and a job's payment (`POST /rnp/v1/jobs/{id}/pay`)
say where to pay what, with which memo, and are found on the chain by themselves; showing the `tx_signature` is faster. Whatever
arrives short, late or too often is on the balance. Asking a payment for nothing answers 402: with the quote, and with x402's
PAYMENT-REQUIRED (version 2, scheme `exact`) where it is paid in a token and the hub pays fees; the same request with
PAYMENT-SIGNATURE settles it, once, with 200 or, while that is not known, 202. RENDER is redeemed for render credits one for one.

Errors are `{"error": {"code", "message", "details"}}`: 400 for a bad field, 401 for a proof that does not hold, 409 for what was
used before, 402 where money is missing: `details` says what there is. Per address and minute: 30 challenges, 20 logins, 20
links, 120 scenes, 1200 orders and estimates, per account 240 new previews; a 429 carries Retry-After."""

SECURITY_SCHEMES: dict[str, dict[str, Any]] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "an access token or an API key"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
SIGNED_IN: dict[str, Any] = {
    "security": [{"bearer": []}, {"apiKey": []}],
    "responses": {"401": "UNAUTHORIZED", "403": "FORBIDDEN"},
}
