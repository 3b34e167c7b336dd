// The classes of a page: bars and a search field filter them, and their images are made when they are shown.
{
  const PREFIX = "data:image/webp;base64,";
  const STEP = 60;
  const SMALLEST = 72;
  const WIDE = 5;
  const data = page.data("classes-data");
  const bars = data.bars;
  const list = document.getElementById("class-list");
  const status = document.getElementById("class-status");
  const search = document.getElementById("class-name");
  const order = document.getElementById("class-order");
  const collator = new Intl.Collator(undefined, { numeric: true });
  const plain = (text) => text.normalize("NFKC").toLowerCase();
  const names = data.names.map(plain);
  const all = data.names.map((_, index) => index);
  const pressed = new Set();
  const elements = bars.map((bar) => document.getElementById(bar.id));
  const more = page.element("button", { type: "button", class: "more" });
  let images = null;
  let shown = [];
  let made = 0;

  const count = (number) => number.toLocaleString("en");
  const orders = {
    set: () => 0,
    most: (a, b) => data.sizes[b] - data.sizes[a],
    fewest: (a, b) => data.sizes[a] - data.sizes[b],
    name: (a, b) => collator.compare(data.names[a], data.names[b]),
  };

  /** Return whether the bar stands for the class `index`. */
  const covers = (bar, index) => bar.class === null
    ? bar.least <= data.sizes[index] && data.sizes[index] <= bar.most : bar.class === index;

  /** Return an image with what is known about it. */
  const thumbnail = (name, [kind, encoded, width, height, text]) => {
    const zoom = Math.max(1, Math.round(SMALLEST / Math.max(width, height)));
    const what = data.kinds[kind];
    return page.thumbnail({
      src: PREFIX + encoded, alt: `${name}, ${what}`, width: zoom * width, height: zoom * height,
      detail: text, original: data.kinds.length > 1 && kind === 0,
    });
  };

  /** Return a class with its images. */
  const card = (index) => {
    const name = data.names[index];
    const counted = (what, number) => `${count(number)} ${what === "images" && number === 1 ? "image" : what}`;
    const counts = data.columns.map(([what, numbers]) => counted(what, numbers[index])).join(", ");
    const made = page.element("li", {}, page.element("h3", {}, name || "''"), page.element("p", { class: "muted" }, counts));
    if (images?.[index].length) {
      made.append(page.element("ul", { class: "gallery" }, ...images[index].map((image) => thumbnail(name, image))));
    } else if (images) {
      made.append(page.element("p", { class: "muted" }, "no image on this page"));
    }
    return made;
  };

  const add = () => {
    const next = shown.slice(made, made + STEP);
    list.append(...next.map(card));
    made += next.length;
    const left = shown.length - made;
    more.textContent = `Show ${count(Math.min(STEP, left))} more of ${count(left)} classes`;
    more.hidden = left === 0;
  };

  const filter = () => {
    const wanted = bars.filter((_, number) => pressed.has(number));
    const text = plain(search.value.trim());
    shown = all.filter((index) => names[index].includes(text) && (!wanted.length || wanted.some((bar) => covers(bar, index))));
    shown.sort(orders[order.value]);
    elements.forEach((element, number) => element.setAttribute("aria-pressed", pressed.has(number)));
    status.textContent = shown.length === all.length ? `${count(all.length)} classes`
      : `${count(shown.length)} of ${count(all.length)} classes`;
    made = 0;
    list.replaceChildren();
    list.classList.toggle("wide", images !== null && shown.some((index) => images[index].length > WIDE));
    add();
  };

  elements.forEach((element, number) => page.button(element, bars[number].label, () => {
    const was = pressed.has(number);
    pressed.clear();
    if (!was) pressed.add(number);
    filter();
  }));
  search.addEventListener("input", filter);
  order.addEventListener("change", filter);
  document.getElementById("class-all").addEventListener("click", () => {
    pressed.clear();
    search.value = "";
    filter();
    search.focus();
  });
  more.addEventListener("click", () => {
    const first = made;
    add();
    list.children[first]?.querySelector("[tabindex]")?.focus();
  });
  list.after(more);
  filter();
  document.addEventListener("DOMContentLoaded", () => {
    images = page.data("classes-images");
    filter();
  });
}
