// marimo's own page takes the place of the static one where its files can be loaded. It lies in two templates, which run
// nothing and load nothing. Until it is there nothing changes, and when it does not come nothing has changed.
(() => {
  "use strict";
  const PATIENCE = 8000; // ms until the first of its files answers, and for all of it to be there without being asked for
  const QUIET = 250; // ms
  const RESTLESS = 2000; // ms, for a page that moves all the time
  const began = performance.now();
  const page = document.documentElement;
  const button = document.getElementById("daglab-view");
  const part = (name) => document.importNode(document.getElementById(name).content, true);
  let live = false;

  // Each page has its own styles, and what is printed is always the static one.
  const dress = () => {
    for (const sheet of document.querySelectorAll("style, link[rel~=stylesheet]")) {
      if (sheet.id === "daglab-style") sheet.media = live ? "print" : "all";
      else if (sheet.id !== "daglab-style-view") sheet.media = live ? "screen" : "not all";
    }
  };
  const show = (wanted) => {
    live = wanted;
    page.dataset.daglabView = live ? "interactive" : "static";
    dress();
    button.textContent = live ? "Static page" : "Interactive page";
    button.hidden = false;
  };

  const answers = async (address) => {
    const given = new AbortController();
    const timer = setTimeout(() => given.abort(), PATIENCE);
    try {
      const answer = await fetch(address, { signal: given.signal });
      clearTimeout(timer);
      await answer.arrayBuffer(); // it is in the cache then
      return answer.ok;
    } catch {
      return false;
    } finally {
      clearTimeout(timer);
    }
  };
  const settled = (element) =>
    new Promise((resolve) => {
      for (const event of ["load", "error"]) element.addEventListener(event, resolve);
    });
  // It is there when nothing has moved in it for a while: its first pieces are empty frames.
  const mounted = (root) =>
    new Promise((resolve) => {
      let first = 0;
      let still = 0;
      new MutationObserver((_, seen) => {
        if (!root.querySelector("#App")) return;
        first ||= performance.now();
        clearTimeout(still);
        const done = () => (seen.disconnect(), resolve());
        still = setTimeout(done, performance.now() - first < RESTLESS ? QUIET : 0);
      }).observe(root, { childList: true, subtree: true });
    });

  const start = async () => {
    const head = part("daglab-head");
    const body = part("daglab-body");
    const entry = head.querySelector("script[type=module][src]");
    const root = body.querySelector("#root");
    if (!entry || !root || navigator.onLine === false || !(await answers(entry.src))) return;
    entry.remove();
    for (const element of head.querySelectorAll("title, meta, link[rel=preload], link[rel=manifest]")) element.remove();
    const sheets = [...head.querySelectorAll("style, link[rel~=stylesheet]")];
    for (const sheet of sheets) sheet.media = "not all";
    const loaded = sheets.filter((sheet) => sheet.localName === "link").map(settled);
    const added = [...head.children, ...body.children, entry];
    document.head.append(head);
    await Promise.all(loaded);
    const there = mounted(root);
    document.body.append(body);
    entry.addEventListener("error", () => added.forEach((element) => element.remove()));
    document.head.append(entry);
    await there;
    // Whoever is reading already is not interrupted.
    show(performance.now() - began < PATIENCE && window.scrollY < 100);
    button.addEventListener("click", () => show(!live));
    window.addEventListener("beforeprint", dress);
  };

  const painted = () => requestAnimationFrame(() => setTimeout(start));
  if (document.readyState === "complete") painted();
  else window.addEventListener("load", painted);
})();
