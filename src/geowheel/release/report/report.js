"use strict";
(() => {
  const facts = JSON.parse(document.getElementById("facts").textContent);
  const view = { wheel: 0, measure: "packed", chosen: 0, tiles: [] };
  const find = (id) => document.getElementById(id);

  /* An element with text; what is data is only ever text, never markup. */
  function make(name, text, className) {
    const element = document.createElement(name);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  }

  function amount(size) {
    if (size >= 1e6) return `${(size / 1e6).toFixed(1)} MB`;
    return size >= 1000 ? `${(size / 1e3).toFixed(0)} kB` : `${size} bytes`;
  }

  const kindClass = (kind) => `kind-${kind.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  const wheel = () => facts.wheels[view.wheel];
  const measureOf = (part) => part[view.measure];
  const total = (parts) => parts.reduce((sum, part) => sum + measureOf(part), 0);

  /* Squarified treemap (Bruls, Huizing, van Wijk, 2000): rows along the shorter side, each grown
     while its worst tile becomes no longer. */
  function worst(row, side, scale) {
    const areas = row.map((item) => item.value * scale);
    const sum = areas.reduce((a, b) => a + b, 0);
    return Math.max(...areas.map((area) => {
      const ratio = (sum * sum) / (side * side * area);
      return Math.max(ratio, 1 / ratio);
    }));
  }

  function placeRow(row, box, scale) {
    const sum = row.reduce((a, item) => a + item.value, 0) * scale;
    const wide = box.width >= box.height;
    const depth = sum / (wide ? box.height : box.width);
    let at = 0;
    const placed = row.map((item) => {
      const length = (item.value * scale) / depth;
      const tile = wide
        ? { x: box.x, y: box.y + at, width: depth, height: length }
        : { x: box.x + at, y: box.y, width: length, height: depth };
      at += length;
      return { ...tile, part: item.part };
    });
    const rest = wide
      ? { ...box, x: box.x + depth, width: box.width - depth }
      : { ...box, y: box.y + depth, height: box.height - depth };
    return { placed, rest };
  }

  function squarify(items, width, height) {
    const scale = (width * height) / items.reduce((sum, item) => sum + item.value, 0);
    let box = { x: 0, y: 0, width, height };
    let row = [];
    const tiles = [];
    const flush = () => {
      const { placed, rest } = placeRow(row, box, scale);
      tiles.push(...placed);
      box = rest;
      row = [];
    };
    for (const item of items) {
      const side = Math.min(box.width, box.height);
      if (row.length && worst([...row, item], side, scale) > worst(row, side, scale)) flush();
      row.push(item);
    }
    if (row.length) flush();
    return tiles;
  }

  function label(part) {
    const version = part.version ? ` ${part.version}` : "";
    const share = ((100 * measureOf(part)) / total(wheel().parts)).toFixed(1);
    return `${part.name}${version}, ${amount(measureOf(part))}, ${share} %`;
  }

  function makeTile(tile, index, width, height, most) {
    const button = make("button", undefined, `tile ${kindClass(tile.part.kind)}`);
    const percent = (value, whole) => `${((100 * value) / whole).toFixed(4)}%`;
    button.type = "button";
    button.style.left = percent(tile.x, width);
    button.style.top = percent(tile.y, height);
    button.style.width = percent(tile.width, width);
    button.style.height = percent(tile.height, height);
    button.style.setProperty("--weight", Math.sqrt(measureOf(tile.part) / most).toFixed(3));
    button.setAttribute("aria-label", label(tile.part));
    if (tile.width > 52 && tile.height > 26) button.append(make("b", tile.part.name));
    if (tile.width > 64 && tile.height > 44) button.append(make("i", amount(measureOf(tile.part))));
    if (tile.width > 150 && tile.height > 90) button.classList.add("large");
    if (!button.firstChild) button.style.padding = "0";
    button.addEventListener("click", () => choose(index));
    button.addEventListener("focus", () => choose(index));
    button.addEventListener("pointerenter", () => showDetail(tile.part));
    return button;
  }

  function drawTreemap() {
    const map = find("treemap");
    const { width, height } = map.getBoundingClientRect();
    const parts = wheel().parts.filter((part) => measureOf(part) > 0);
    map.replaceChildren();
    view.tiles = [];
    if (!parts.length || !width || !height) return showDetail(null);
    const items = parts
      .map((part) => ({ part, value: measureOf(part) }))
      .sort((a, b) => b.value - a.value);
    view.tiles = squarify(items, width, height);
    const most = items[0].value;
    view.tiles.forEach((tile, index) => {
      tile.button = makeTile(tile, index, width, height, most);
      map.append(tile.button);
    });
    choose(Math.min(view.chosen, view.tiles.length - 1));
  }

  /* One tile is chosen; it is also the only one in the tab order. */
  function choose(index) {
    view.chosen = index;
    view.tiles.forEach((tile, at) => {
      tile.button.setAttribute("aria-pressed", String(at === index));
      tile.button.tabIndex = at === index ? 0 : -1;
    });
    showDetail(view.tiles[index].part);
  }

  function row(list, name, value) {
    list.append(make("dt", name), make("dd", value));
  }

  function showDetail(part) {
    const panel = find("detail");
    panel.replaceChildren();
    if (!part) return void panel.append(make("p", "This wheel cannot be read."));
    const title = make("h3", part.name);
    title.append(" ", make("span", part.version));
    const list = make("dl");
    const sum = wheel().parts.reduce((all, other) => all + other.packed, 0);
    row(list, "in the wheel", `${amount(part.packed)}, ${((100 * part.packed) / sum).toFixed(1)} %`);
    row(list, "installed", amount(part.size));
    row(list, "files", String(part.files));
    row(list, "mostly", part.kind);
    if (part.license) row(list, "license", part.license);
    const files = make("ul");
    for (const { path, packed } of part.largest) {
      const item = make("li");
      item.append(make("code", path), ` ${amount(packed)}`);
      files.append(item);
    }
    panel.append(title, list, files);
    const more = part.files - part.largest.length;
    if (more > 0) panel.append(make("p", `and ${more} smaller ones`, "small"));
  }

  function onKey(event) {
    const last = view.tiles.length - 1;
    const goals = {
      ArrowLeft: view.chosen - 1, ArrowUp: view.chosen - 1, Home: 0,
      ArrowRight: view.chosen + 1, ArrowDown: view.chosen + 1, End: last,
    };
    if (!(event.key in goals)) return;
    event.preventDefault();
    view.tiles[Math.min(Math.max(goals[event.key], 0), last)].button.focus();
  }

  function drawKinds() {
    const kinds = wheel().kinds.filter(measureOf).sort((a, b) => measureOf(b) - measureOf(a));
    const strip = make("div", undefined, "strip");
    const list = make("ul");
    strip.setAttribute("aria-hidden", "true");
    for (const kind of kinds) {
      const swatch = make("span", undefined, `swatch ${kindClass(kind.name)}`);
      swatch.style.flex = `${measureOf(kind)} 0 0`;
      strip.append(swatch);
      const item = make("li");
      item.append(make("span", undefined, `swatch ${kindClass(kind.name)}`), `${kind.name} `);
      item.append(make("strong", amount(measureOf(kind))));
      list.append(item);
    }
    find("kinds").replaceChildren(strip, list);
  }

  function draw() {
    drawKinds();
    drawTreemap();
  }

  /* --- filters --- */

  /* Show the rows that hold every word of a search box, and say how many they are. */
  function filter(key, rows) {
    const box = find(`${key}-filter`);
    const react = () => {
      const words = box.value.toLowerCase().split(/\s+/);
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
      }
      const shown = rows.filter((row) => !row.hidden).length;
      const count = shown === rows.length ? shown : `${shown} of ${rows.length}`;
      find(`${key}-count`).textContent = `${count} ${key}s`;
    };
    box.addEventListener("input", react);
    react();
  }

  function start() {
    document.documentElement.classList.add("scripted");
    const on = (element, event, react) => element.addEventListener(event, react);
    on(find("wheel"), "change", (event) => {
      Object.assign(view, { wheel: Number(event.target.value), chosen: 0 });
      draw();
    });
    for (const button of document.querySelectorAll('input[name="measure"]')) {
      on(button, "change", () => { Object.assign(view, { measure: button.value, chosen: 0 }); draw(); });
    }
    on(find("treemap"), "keydown", onKey);
    on(find("treemap"), "pointerleave", () => {
      if (view.tiles.length) showDetail(view.tiles[view.chosen].part);
    });
    let width = 0;
    new ResizeObserver(([entry]) => {
      if (Math.abs(entry.contentRect.width - width) < 1) return;
      width = entry.contentRect.width;
      draw();
    }).observe(find("treemap"));
    filter("driver", [...find("driver-list").children]);
    filter("package", [...find("package-list").tBodies[0].rows]);
  }

  start();
})();
