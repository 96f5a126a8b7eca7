"use strict";
// Sends what the form says, and shows the answer as it came.
function build(form) {
  let path = form.dataset.path;
  const query = new URLSearchParams();
  const options = { method: form.dataset.method, headers: {} };
  const parts = new FormData();
  for (const input of form.querySelectorAll("[data-in]")) {
    const value = input.type === "file" ? input.files[0] : input.value;
    if (input.dataset.in === "path") path = path.replace(`{${input.name}}`, encodeURIComponent(value));
    else if (!value) continue;
    else if (input.dataset.in === "query") query.set(input.name, value);
    else if (input.dataset.in === "header") options.headers[input.name] = value;
    else parts.set(input.name, value);
  }
  if (form.dataset.media === "multipart/form-data") options.body = parts;
  else if (form.elements.body) {
    options.body = form.elements.body.value;
    options.headers["Content-Type"] = "application/json";
  }
  const text = query.toString();
  return [text ? `${path}?${text}` : path, options];
}

async function send(event) {
  event.preventDefault();
  const form = event.target;
  const result = form.querySelector(".result");
  result.hidden = false;
  result.textContent = "…";
  try {
    const [path, options] = build(form);
    const answer = await fetch(path, options);
    const type = answer.headers.get("Content-Type") || "";
    let body = type.includes("json") || type.includes("text") ? await answer.text() : `(${type}, ${(await answer.blob()).size} bytes)`;
    if (type.includes("json")) body = JSON.stringify(JSON.parse(body), null, 2);
    result.textContent = `${answer.status} ${answer.statusText}\n\n${body}`;
  } catch (error) {
    result.textContent = `The request could not be sent: ${error.message}`;
  }
}

for (const form of document.querySelectorAll("form.try")) form.addEventListener("submit", send);

function openTarget() {
  const found = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (found) { found.open = true; found.scrollIntoView(); }
}
addEventListener("hashchange", openTarget);
openTarget();
