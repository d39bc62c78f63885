"use strict";
{
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const one = (selector, root = document) => root.querySelector(selector);
const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

// light or dark: the reader's choice, or the system's
const theme = one("#theme");
const dark = () => getComputedStyle(theme).colorScheme === "dark" ||
  (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
const label = () => { theme.textContent = dark() ? "Light mode" : "Dark mode"; };
try { document.documentElement.dataset.theme = localStorage.getItem("vidcaption-theme") ?? ""; }
catch { /* pages from disk may have no storage */ }
theme.addEventListener("click", () => {
  document.documentElement.dataset.theme = dark() ? "light" : "dark";
  try { localStorage.setItem("vidcaption-theme", document.documentElement.dataset.theme); } catch {}
  label();
});
theme.hidden = false;
label();

// search: captions with their concepts, or cards by name or caption, that contain every word
const query = one("#query"), count = one("#count");
const units = all("[data-unit], .cue").map((element) => {
  const texts = new Map();  // of each line, and of all that is in none
  const parts = all("[data-text], .text", element).map((part) => {
    const line = part.closest("[data-line]");
    texts.set(line, `${texts.get(line) ?? ""}\n${plain(part.textContent)}`);
    return { part, line };
  });
  return { element, parts: parts.map((each) => ({ ...each, text: texts.get(each.line) })) };
});
const highlight = (part, words) => {
  const text = part.textContent;
  const shown = plain(text);
  part.textContent = text;
  if (!words.length || shown.length !== text.length) return;
  const hits = words.flatMap((word) => {
    const found = [];
    for (let at = shown.indexOf(word); at >= 0; at = shown.indexOf(word, at + 1))
      found.push([at, at + word.length]);
    return found;
  }).sort((a, b) => a[0] - b[0]);
  let done = 0;
  const pieces = [];
  for (const [from, to] of hits) {
    if (from < done) continue;
    const mark = document.createElement("mark");
    mark.textContent = text.slice(from, to);
    pieces.push(text.slice(done, from), mark);
    done = to;
  }
  part.replaceChildren(...pieces, text.slice(done));
};
const search = () => {
  const words = plain(query.value).split(/\s+/).filter(Boolean);
  let left = 0;
  for (const { element, parts } of units) {
    const hits = parts.filter(({ text }) => words.every((word) => text.includes(word)));
    const named = hits.some(({ line }) => !line);
    element.hidden = !hits.length;
    left += hits.length > 0;
    for (const each of parts) {
      if (each.line) each.line.hidden = !named && !hits.includes(each);
      highlight(each.part, words);
    }
  }
  for (const { element, frame } of cues) frame?.classList.toggle("dimmed", element.hidden);
  count.textContent = words.length ? `${left} of ${units.length}` : "";
};
query.addEventListener("input", search);
one(".tools").hidden = false;

// captions jump to their time and follow playback
const video = one("video"), follow = one("#follow");
const frames = new Map(all(".reel button").map((button) => [Number(button.dataset.cue), button]));
const cues = all(".cue").map((element, number) => ({
  element, start: Number(element.dataset.start), end: Number(element.dataset.end),
  frame: frames.get(number),
}));
let active = null;
const still = matchMedia("(prefers-reduced-motion: reduce)");
const reveal = (cue) => {
  const box = cue.element.getBoundingClientRect();
  const top = innerWidth < 960 && video ? one(".stage").getBoundingClientRect().bottom : 60;
  if (box.top < top || box.bottom > innerHeight)
    scrollTo({ top: scrollY + box.top - top - 20, behavior: still.matches ? "auto" : "smooth" });
};
const activate = (cue) => {
  if (cue === active) return;
  for (const each of [active, cue]) {
    each?.element.classList.toggle("active", each === cue);
    each?.frame?.classList.toggle("active", each === cue);
    one(".jump", each?.element ?? document)?.removeAttribute("aria-current");
  }
  active = cue;
  if (!cue) return;
  one(".jump", cue.element).setAttribute("aria-current", "true");
  if (cue.frame) {
    const reel = cue.frame.parentElement;
    reel.scrollLeft = cue.frame.offsetLeft - reel.offsetLeft - reel.clientWidth / 2 + 40;
  }
  if (follow?.checked && !video.paused) reveal(cue);
};
const at = (seconds) => cues.findLast(({ start, end }) => start <= seconds && seconds < end) ?? null;
const jump = (cue, play) => {
  history.replaceState(null, "", `#t=${cue.start}`);
  if (video) {
    video.currentTime = cue.start + 0.001;
    if (play) video.play().catch(() => {});
  }
  activate(cue);
};
for (const cue of cues) {
  one(".jump", cue.element).addEventListener("click", (event) => {
    event.preventDefault();
    jump(cue, true);
  });
  cue.frame?.addEventListener("click", () => { jump(cue, false); reveal(cue); });
}
const toHash = () => {
  const seconds = Number(location.hash.match(/^#t=(\d+(?:\.\d+)?)$/)?.[1] ?? NaN);
  if (Number.isNaN(seconds)) return;
  if (video) video.currentTime = seconds + 0.001;
  const cue = at(seconds);
  activate(cue);
  if (cue) reveal(cue);
};
if (cues.length) {
  addEventListener("hashchange", toHash);
  toHash();
}
if (video) {
  video.addEventListener("timeupdate", () => activate(at(video.currentTime)));
  video.addEventListener("error", () => {
    video.hidden = true;
    one("#unplayable").hidden = false;
  });
  if (video.error) video.dispatchEvent(new Event("error"));  // before this script ran
}

// keys
addEventListener("keydown", (event) => {
  const field = event.target.closest("input, video, button, summary");
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "/" && event.target !== query) {
    event.preventDefault();
    query.focus();
  } else if (event.key === "Escape" && event.target === query) {
    query.value = "";
    search();
  } else if (event.key === " " && video && !field) {
    event.preventDefault();
    if (video.paused) video.play().catch(() => {}); else video.pause();
  } else if (["ArrowDown", "ArrowUp"].includes(event.key) && (!field || event.target === query)) {
    const links = all(".jump").filter((link) => !link.closest(".cue").hidden);
    if (!links.length) return;
    const now = links.indexOf(document.activeElement);
    const next = now < 0 ? 0 : now + (event.key === "ArrowDown" ? 1 : -1);
    event.preventDefault();
    links[Math.min(Math.max(next, 0), links.length - 1)].focus();
  }
});

// where the model looked: a byte for each cell of each frame, by rows
const paint = (canvas, heat, frames) => {
  const bytes = Uint8Array.from(atob(heat), (letter) => letter.charCodeAt(0));
  const rows = Math.sqrt(bytes.length / frames);
  canvas.width = rows * frames;
  canvas.height = rows;
  const image = new ImageData(canvas.width, canvas.height);
  bytes.forEach((warmth, i) => image.data.set([255, 70, 0, 0.7 * warmth], 4 * i));
  canvas.getContext("2d").putImageData(image, 0, 0);
};
for (const details of all(".cue details")) {
  const look = one(".look", details);
  for (const button of all("button", details))
    button.addEventListener("click", () => {
      const pressed = button.getAttribute("aria-pressed") === "true";
      for (const each of all("button", details)) each.setAttribute("aria-pressed", "false");
      button.setAttribute("aria-pressed", String(!pressed));
      one("canvas", look).hidden = pressed;
      if (!pressed) paint(one("canvas", look), button.dataset.heat, Number(look.dataset.frames));
      one("output", details).textContent = pressed ? "" : button.dataset.tip;
    });
}
}
