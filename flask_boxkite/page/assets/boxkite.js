// The page works without this script, which refreshes it and filters as the visitor types.
"use strict";

const SECONDS = 15;
const form = document.getElementById("filter");
const header = document.querySelector("header");
let current = 0; // number of the newest request: late answers to older ones are not shown
let isOn = true;

async function show(url) {
  const mine = ++current;
  const answer = await fetch(url, { headers: { Accept: "text/html" }, credentials: "same-origin" });
  if (mine !== current) return;
  if (answer.redirected) return location.reload(); // to a login, for instance
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (!fresh.getElementById("content")) return; // a proxy's answer while the server restarts
  const focused = document.activeElement && document.activeElement.getAttribute("href");
  for (const part of document.querySelectorAll("[data-live]")) {
    const other = fresh.getElementById(part.id);
    if (other) part.replaceChildren(...other.childNodes);
  }
  document.title = fresh.title;
  if (focused && document.activeElement === document.body) {
    for (const link of document.links) if (link.getAttribute("href") === focused) return link.focus({ preventScroll: true });
  }
}

function refresh() {
  // A refresh must not remove a visitor's selection, and is useless in a hidden tab.
  if (isOn && !document.hidden && document.getSelection().isCollapsed) show(location.href).catch(() => {});
}

function filter() {
  const query = new URLSearchParams(new FormData(form));
  for (const [name, value] of [...query]) if (!value) query.delete(name);
  history.replaceState(null, "", `?${query}`);
  show(location.href).catch(() => form.submit());
}

if (form) {
  let waiting;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    filter();
  });
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(filter, 200);
  });
}

const button = document.createElement("button");
button.type = "button";
button.className = "refresh";
function label() {
  button.textContent = isOn ? "Refreshes itself" : "Stands still";
  button.setAttribute("aria-pressed", String(isOn));
}
button.addEventListener("click", () => {
  isOn = !isOn;
  label();
  refresh();
});
label();
header.append(button);
setInterval(refresh, SECONDS * 1000);
document.addEventListener("visibilitychange", refresh);
