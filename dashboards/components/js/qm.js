// What every component of the page shares: drawing, sending commands, the operator's name, the veil.
(() => {
  const qm = (window.qm = {});

  // --- drawing: a tree of plain objects, patched into the DOM so that focus and typed text survive an update ---

  qm.h = (tag, props, ...children) => ({
    tag,
    props: props || {},
    children: children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false && c !== ""),
  });

  const isText = (v) => typeof v === "string" || typeof v === "number";

  const setProp = (el, name, value) => {
    if (name === "key") return;
    if (name.startsWith("on") || name === "value") el[name] = value;
    else if (name === "disabled") el.disabled = Boolean(value);
    else if (value === null || value === undefined || value === false) el.removeAttribute(name);
    else el.setAttribute(name, value === true ? "" : String(value));
  };

  const applyProps = (el, props) => {
    const before = el.qmProps || {};
    for (const name of Object.keys(before)) {
      if (!(name in props)) setProp(el, name, name.startsWith("on") || name === "value" ? null : false);
    }
    for (const [name, value] of Object.entries(props)) {
      if (before[name] !== value) setProp(el, name, value);
    }
    el.qmProps = props;
  };

  const create = (v) => (isText(v) ? document.createTextNode(String(v)) : document.createElement(v.tag));

  const fits = (node, v) => {
    if (isText(v)) return node.nodeType === Node.TEXT_NODE;
    return node.qmProps !== undefined && node.localName === v.tag && node.qmProps.key === v.props.key;
  };

  const patchChildren = (el, wanted) => {
    const keyed = new Map();
    for (const node of el.childNodes) {
      if (node.qmProps && node.qmProps.key !== undefined) keyed.set(node.qmProps.key, node);
    }
    let at = el.firstChild;
    for (const v of wanted) {
      const key = isText(v) ? undefined : v.props.key;
      let node = key !== undefined ? keyed.get(key) : at && fits(at, v) ? at : null;
      keyed.delete(key); // a node stands for one child: of two that share a key neither may swallow the other
      if (node && !fits(node, v)) node = null;
      if (!node) node = create(v);
      if (node === at) at = at.nextSibling;
      else el.insertBefore(node, at);
      if (isText(v)) { if (node.data !== String(v)) node.data = String(v); }
      else { applyProps(node, v.props); patchChildren(node, v.children); }
    }
    while (at) { const next = at.nextSibling; at.remove(); at = next; }
  };

  qm.patch = (el, tree) => patchChildren(el, [tree].flat(Infinity).filter(Boolean));

  qm.parse = (text) => { try { return JSON.parse(text); } catch (_) { return null; } };

  qm.shown = {};
  qm.viewOf = (model) => qm.parse(model.view).v;

  // How a mark on numbers looks: nothing is right below a red platform; late prices are only late.
  qm.doubt = (mark) => (!mark ? "" : mark === "unreliable" ? "doubtful" : "late");
  qm.tag = (mark) => mark && qm.h("span", { class: `tag ${qm.doubt(mark)}` }, mark);
  qm.remedy = (text) => qm.h("p", { class: "remedy" }, qm.h("span", {}, "Do: "), text);

  // The page's style sheet, shared with the shadow roots that Panel puts its components in.
  qm.sheet = new CSSStyleSheet();
  qm.sheet.replaceSync(document.getElementById("qm-style").textContent);

  // Draws `draw(view)` into a component now and at each change of its `view` or of `also`.
  qm.mount = ({ model, el }, draw, also = []) => {
    const root = el.getRootNode();
    if (root !== document) root.adoptedStyleSheets = [...root.adoptedStyleSheets, qm.sheet];
    const host = document.createElement("div");
    host.className = "region";
    const redraw = () => {
      const { n, v } = qm.parse(model.view);
      qm.patch(host, draw(v));
      qm.shown[model.region] = n; // only once it is drawn: the page's server sends again what was not
    };
    for (const name of ["view", ...also]) model.on(name, redraw);
    redraw();
    return { host, redraw };
  };

  // --- commands: named and dated here, where the person decided: one that waited in a queue is too old to count ---

  qm.newId = () => {
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    return [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
  };

  let named = "";
  try {
    named = sessionStorage.getItem("qm.operator") || "";
  } catch (_) { /* storage is refused: the name is asked for again after a reload */ }
  qm.operator = () => named;
  qm.setOperator = (name) => {
    named = name.trim().slice(0, 60);
    try {
      sessionStorage.setItem("qm.operator", named);
    } catch (_) { /* as above */ }
    window.dispatchEvent(new Event("qm:operator"));
  };

  qm.send = (model, version, command, command_id = qm.newId()) => {
    model.send_msg({
      command_id,
      client_ts: new Date().toISOString(),
      state_version: Number.isInteger(version) ? version : null,
      operator: qm.operator(),
      command,
    });
    return { command_id, at: performance.now(), name: command.command };
  };

  // --- the veil: drawn by the browser alone, so that it needs neither platform nor page server ---

  const BEAT_LIMIT_S = 4;
  const PROBE_EVERY_MS = 2000;
  const started = performance.now();
  let beat = null; // {at, state, title, detail, remedy, age_s}
  let probing = false;

  const veil = document.getElementById("qm-veil");
  const told = (part) => veil.querySelector(`[data-part="${part}"]`);

  qm.beat = (given) => {
    document.documentElement.classList.add("drawn");
    beat = { ...given, at: performance.now(), wall: Date.now() };
    drawVeil();
  };

  qm.lastState = (text) => { told("state").textContent = text; };

  // The tab's text: where the page is veiled it says so too, for a tab in the background shows nothing else.
  let title = document.title;
  qm.setTitle = (text) => { title = text; drawVeil(); };

  // 90 s, 12 min, 9 h 5 min: the veil of a page that was left open over night
  qm.span = (seconds) => {
    const s = Math.floor(seconds);
    if (s < 120) return `${s} s`;
    const min = Math.floor(s / 60);
    return min < 120 ? `${min} min` : `${Math.floor(min / 60)} h ${min % 60} min`;
  };

  const gone = (title, gap_s, detail) => ({
    gone: true, title, stale: `no update for ${qm.span(gap_s)}`, detail,
    remedy: "if positions are open: qm emergency",
  });

  const troubleNow = () => {
    const running_s = (performance.now() - (beat ? beat.at : started)) / 1000;
    // The first clock stands still while the machine sleeps: what is shown as it wakes is as old as the second says.
    const gap_s = Math.max(running_s, beat ? (Date.now() - beat.wall) / 1000 : 0);
    if (!beat) {
      if (gap_s < 8) return { title: "Connecting", stale: "", detail: "", remedy: "", connecting: true };
      return gone("This page has not connected", gap_s, "the page's own server does not answer");
    }
    if (beat.state === "ended") return { ...beat, title: "ENDED", stale: beat.title };
    if (gap_s > BEAT_LIMIT_S) {
      return gone("STALE", gap_s, "the page's own server does not answer; the platform does not depend on it");
    }
    if (beat.state) {
      const stale = beat.age_s === null ? "no update yet" : `no update for ${qm.span(beat.age_s + gap_s)}`;
      return { ...beat, title: "STALE", stale, detail: [beat.title, beat.detail].filter(Boolean).join(": ") };
    }
    return null;
  };

  const drawVeil = () => {
    const trouble = troubleNow();
    veil.hidden = trouble === null;
    document.title = trouble && !trouble.connecting ? `${trouble.title} · ${title}` : title;
    if (!trouble) return;
    veil.dataset.kind = trouble.connecting ? "connecting" : "stale";
    told("title").textContent = trouble.title;
    told("stale").textContent = trouble.stale;
    told("detail").textContent = trouble.detail;
    told("remedy").textContent = trouble.remedy;
    if (trouble.gone) probe();
  };

  // Once the page's server answers again, this page is of its former life: start over.
  const probe = async () => {
    if (probing) return;
    probing = true;
    await new Promise((done) => setTimeout(done, PROBE_EVERY_MS));
    const before = beat && beat.at;
    try {
      const answer = await fetch("liveness", { cache: "no-store" });
      await new Promise((done) => setTimeout(done, 1500));
      if (answer.ok && (beat && beat.at) === before) location.reload();
    } catch (_) { /* still gone */ }
    probing = false;
  };

  setInterval(drawVeil, 500);
  drawVeil();

  // --- what is asked for from anywhere on the page ---

  qm.open = (form, symbol) => window.dispatchEvent(new CustomEvent("qm:open", { detail: { form, symbol } }));
  window.addEventListener("keydown", (event) => {
    if (event.altKey && event.shiftKey && event.code === "KeyE") {
      event.preventDefault();
      window.dispatchEvent(new Event("qm:arm"));
    }
  });
})();
