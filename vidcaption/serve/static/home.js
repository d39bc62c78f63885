// The page of the server: adds videos, follows all jobs by server-sent events, searches.

const one = (selector, root = document) => root.querySelector(selector);
const show = (element, visible) => { element.hidden = !visible; };
const AT_ONCE = 2;  // uploads

const list = one("#jobs");
const cards = new Map();  // by the id of a job, or an object that stands for an upload
const states = new Map();  // of jobs, as they were last drawn
let informed = false;  // of the jobs there are

const request = async (method, address) => {
  const response = await fetch(address, { method });
  const body = response.status === 204 ? null : await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body?.error ?? `the server answered ${response.status}`);
  return body;
};

// the newest first; what has no time yet comes before all
const card = (key, created = "~") => {
  let element = cards.get(key);
  if (!element) {
    element = one("#job").content.firstElementChild.cloneNode(true);
    element.dataset.created = created;
    cards.set(key, element);
    const older = [...list.children].find((other) => other.dataset.created <= created);
    list.insertBefore(element, older ?? null);
  }
  show(one("#empty"), false);
  return element;
};

const forget = (key) => {
  cards.get(key)?.remove();
  cards.delete(key);
  states.delete(key);
  show(one("#empty"), informed && !cards.size);
};

const fail = (element, text) => {
  one(".error", element).textContent = text;
  show(one(".error", element), Boolean(text));
};

const clock = (seconds) => {
  const whole = Math.floor(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return (parts[0] ? parts : parts.slice(1))
    .map((part, i) => (i ? String(part).padStart(2, "0") : part)).join(":");
};

const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

const words = (job) => {
  switch (job.status) {
    case "queued": return job.position ? `waits for ${count(job.position, "other")}` : "is next";
    case "running": return job.progress === null ? count(job.captions, "caption")
      : `${Math.round(100 * job.progress)} %, ${count(job.captions, "caption")}`;
    case "done": return count(job.captions, "caption") +
      (job.duration ? ` in ${clock(job.duration)}` : "");
    default: return job.status;
  }
};

// what a person presses: said in the card where it goes wrong
const act = (element, button, method, address) => {
  one(button, element).onclick = async (event) => {
    event.target.disabled = true;
    try { await request(method, address); }
    catch (error) { fail(element, error.message); }
    event.target.disabled = false;
  };
};

const draw = (job) => {
  const element = card(job.id, job.created);
  const busy = job.status === "queued" || job.status === "running";
  element.dataset.status = job.status;
  one(".name", element).textContent = job.name;
  one(".status", element).textContent = words(job);
  const bar = one("progress", element);
  show(bar, busy);
  bar.setAttribute("aria-label", `Progress of ${job.name}`);
  if (job.status === "running" && job.progress === null) bar.removeAttribute("value");
  else bar.value = job.progress ?? 0;
  one(".latest", element).textContent = job.latest ?? "";
  show(one(".latest", element), Boolean(job.latest));
  fail(element, job.error ?? (job.callback_error && `The callback failed: ${job.callback_error}`));
  const watch = one(".watch", element);
  show(watch, Boolean(job.links.page));
  if (job.links.page) watch.href = job.links.page;
  show(one(".downloads", element), Boolean(job.links.results));
  for (const link of element.querySelectorAll("[data-format]"))
    if (job.links.results) link.href = job.links.results[link.dataset.format];
  show(one(".cancel", element), busy);
  show(one(".delete", element), !busy);
  act(element, ".cancel", "POST", `${job.links.self}/cancel`);
  act(element, ".delete", "DELETE", job.links.self);
  const before = states.get(job.id);
  states.set(job.id, job.status);
  if (informed && before !== job.status && !busy)
    one("#announcer").textContent = `${job.name}: ${words(job)}`;
};

// live
const follow = () => {
  const source = new EventSource("/v1/events");
  let listed = new Set();  // since this connection
  source.addEventListener("open", () => { show(one("#lost"), false); listed = new Set(); });
  source.addEventListener("error", () => {
    show(one("#lost"), true);
    if (source.readyState === EventSource.CLOSED) setTimeout(follow, 3000);  // it gives up itself
  });
  source.addEventListener("job", (event) => {
    const job = JSON.parse(event.data);
    listed.add(job.id);
    draw(job);
  });
  source.addEventListener("gone", (event) => forget(JSON.parse(event.data).id));
  source.addEventListener("all", () => {
    informed = true;
    for (const key of [...cards.keys()])
      if (typeof key === "string" && !listed.has(key)) forget(key);  // it went meanwhile
    show(one("#empty"), !cards.size);
  });
};
follow();

// adding videos
const parameters = (more) => {
  const window = one("#window");
  return new URLSearchParams({ ...more, ...(window.value && { window: window.value }) });
};
const ready = () => one("#window").reportValidity();

const waiting = [];
let uploading = 0;
const next = () => {
  while (uploading < AT_ONCE && waiting.length) {
    uploading += 1;
    upload(waiting.shift(), () => { uploading -= 1; next(); });
  }
};

const upload = ({ file, key, query }, over) => {
  const element = cards.get(key);
  const call = new XMLHttpRequest();
  const end = (text) => {
    element.dataset.status = "failed";
    one(".status", element).textContent = "not uploaded";
    show(one("progress", element), false);
    fail(element, text);
    show(one(".cancel", element), false);
    show(one(".delete", element), true);
    one(".delete", element).onclick = () => forget(key);
  };
  call.upload.onprogress = (event) => {
    one("progress", element).value = event.loaded / (event.total || 1);
    one(".status", element).textContent = `uploading, ${Math.round(100 * event.loaded / (event.total || 1))} %`;
  };
  call.onload = () => {
    let body = {};
    try { body = JSON.parse(call.responseText); } catch {}
    if (call.status === 202) { forget(key); draw(body); }
    else end(body.error ?? `The server answered ${call.status}.`);
  };
  call.onerror = () => end("The upload was broken off: the server does not answer, or refused it.");
  call.onabort = () => forget(key);
  call.onloadend = over;
  one(".cancel", element).onclick = () => call.abort();
  call.open("POST", `/v1/captions?${query}`);
  call.setRequestHeader("Content-Type", "application/octet-stream");
  call.send(file);
};

const add = (files) => {
  if (!ready()) return;
  for (const file of files) {
    const key = {};
    const element = card(key);
    element.dataset.status = "uploading";
    one(".name", element).textContent = file.name;
    one(".status", element).textContent = "waits to be uploaded";
    one("progress", element).value = 0;
    show(one(".cancel", element), true);
    const entry = { file, key, query: parameters({ name: file.name }) };
    one(".cancel", element).onclick = () => {
      waiting.splice(waiting.indexOf(entry), 1);
      forget(key);
    };
    waiting.push(entry);
  }
  next();
};

const drop = one("#drop");
one("#picker").addEventListener("change", (event) => {
  add(event.target.files);
  event.target.value = "";
});
addEventListener("dragover", (event) => {
  event.preventDefault();
  drop.classList.toggle("over", drop.contains(event.target));
});
addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
addEventListener("drop", (event) => {
  event.preventDefault();  // anywhere: the browser would leave the page for the video
  drop.classList.remove("over");
  add(event.dataTransfer.files);
});
addEventListener("beforeunload", (event) => { if (uploading || waiting.length) event.preventDefault(); });

// folders of the server
const folders = one("#folders");
let asked = 0;
const browse = async () => {
  const mine = ++asked;
  const note = one("#files-note"), files = one("#files");
  try {
    const found = await request("GET", `/v1/files?${new URLSearchParams({ q: one("#filter").value })}`);
    if (mine !== asked) return;
    files.replaceChildren(...found.files.map((file) => {
      const item = document.createElement("li"), name = document.createElement("span");
      const button = document.createElement("button");
      name.textContent = file.name;
      button.type = "button";
      button.textContent = "Add";
      button.setAttribute("aria-label", `Add ${file.name}`);
      button.onclick = async () => {
        if (!ready()) return;
        button.disabled = true;
        try { draw(await request("POST", `/v1/captions?${parameters({ file: file.id })}`)); }
        catch (error) { note.textContent = error.message; }
        button.disabled = false;
      };
      item.append(name, button);
      return item;
    }));
    note.textContent = found.left_out ? `${found.left_out} more: filter by name.`
      : found.files.length ? "" : "There is no such video.";
  } catch (error) { note.textContent = error.message; }
};
folders?.addEventListener("toggle", () => { if (folders.open) browse(); });
one("#filter")?.addEventListener("input", browse);

// search
one("#search").addEventListener("submit", async (event) => {
  event.preventDefault();
  const note = one("#found-note"), moments = one("#moments");
  moments.replaceChildren();
  show(one("#found"), true);
  try {
    const found = await request("GET", `/v1/search?${new URLSearchParams({ q: one("#query").value })}`);
    moments.replaceChildren(...found.moments.map((moment) => {
      const item = document.createElement("li"), link = document.createElement("a");
      const text = document.createElement("span");
      link.href = moment.page;
      link.textContent = `${moment.name}, ${clock(moment.start)}`;
      text.textContent = moment.text;
      item.append(link, text);
      return item;
    }));
    note.textContent = found.moments.length ? "" : "Nothing is found in the videos below.";
  } catch (error) { note.textContent = error.message; }
});
one("#close").addEventListener("click", () => show(one("#found"), false));
