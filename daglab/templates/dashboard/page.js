(() => {
  "use strict";
  const SECONDS = 5;
  const PATIENCE = 15;
  const byId = (id) => document.getElementById(id);
  const pause = byId("pause"), said = byId("said"), at = byId("at"), state = byId("status");
  let paused = false, busy = false, timer = 0;

  const say = (text) => { if (said.textContent !== text) said.textContent = text; };

  // The focus, and how far tables are scrolled, outlast a new part.
  const put = (body, part) => {
    const scrolls = [...body.querySelectorAll(".wide")].map((each) => each.scrollLeft);
    const inside = [...body.querySelectorAll("a, [tabindex]")];
    const place = inside.indexOf(document.activeElement);
    const href = place < 0 ? null : document.activeElement.getAttribute("href");
    body.innerHTML = part.html;
    body.dataset.mark = part.mark;
    body.querySelectorAll(".wide").forEach((each, number) => { each.scrollLeft = scrolls[number] || 0; });
    if (place >= 0) {
      const now = [...body.querySelectorAll("a, [tabindex]")];
      const same = now.find((each) => href && each.getAttribute("href") === href);
      const next = same || now[Math.min(place, now.length - 1)];
      if (next) next.focus({ preventScroll: true });
    }
  };

  const show = (found) => {
    for (const body of document.querySelectorAll("[data-part]")) {
      const part = found.parts[body.dataset.part];
      if (part && part.mark !== body.dataset.mark) put(body, part);
    }
    at.textContent = found.at;
    if (state.textContent !== found.status) {
      say(state.textContent === "unknown" ? "" : "Health is now " + found.status + ".");
      state.textContent = found.status;
      state.className = "state " + found.status;
      document.title = document.title.replace(/: [a-z]+$/, ": " + found.status);
    } else if (said.textContent.startsWith("Not updated")) {
      say("");
    }
  };

  const look = async () => {
    if (paused || busy || document.hidden) return;
    busy = true;
    const abort = new AbortController();
    const late = setTimeout(() => abort.abort(), PATIENCE * 1000);
    try {
      const answer = await fetch("/parts", { signal: abort.signal, cache: "no-store" });
      if (!answer.ok) throw new Error(String(answer.status));
      const found = await answer.json();
      show(found);
      if (found.pending) setTimeout(look, 1000);
    } catch {
      say("Not updated since " + at.textContent + ": the dashboard does not answer.");
    } finally {
      clearTimeout(late);
      busy = false;
    }
  };

  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    look();
  });
  document.addEventListener("visibilitychange", look);
  timer = setInterval(look, SECONDS * 1000);
  window.addEventListener("pagehide", () => clearInterval(timer));
  window.addEventListener("pageshow", (event) => { if (event.persisted) timer = setInterval(look, SECONDS * 1000); });
  look();
})();
