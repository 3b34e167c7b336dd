"use strict";
// What all reports share: theme, table of contents, tables that can be sorted, tooltips, commands that can be copied.

const page = {
  /** Return the data that the report put into the element `id`. */
  data(id) {
    const element = document.getElementById(id);
    return element ? JSON.parse(element.textContent) : null;
  },

  /** Return a new element with attributes and children; text becomes a text node, never HTML. */
  element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
    }
    made.append(...children);
    return made;
  },

  /** Return an image with a caption and, on hover or focus, a longer text, which screen readers read, too. */
  thumbnail({ src, alt, width, height, caption, detail, original }) {
    const image = page.element("img", { src, alt: detail ? "" : alt, width, height, class: original ? "original" : null });
    let holder = image;
    if (detail) {
      const id = `detail-${++page.details}`;
      holder = page.element("span", { class: "tip", tabindex: "0", role: "img", "aria-label": alt, "aria-describedby": id },
        image, page.element("span", { role: "tooltip", id }, detail));
    }
    const figure = page.element("figure", {}, holder);
    if (caption) figure.append(page.element("figcaption", {}, caption));
    return page.element("li", {}, figure);
  },

  details: 0,

  /** Show `items` in the list `list`, `step` at a time, with a button for more after it. */
  gallery(list, items, step = 60) {
    list.nextElementSibling?.matches(".more") && list.nextElementSibling.remove();
    list.replaceChildren();
    let shown = 0;
    const more = page.element("button", { type: "button", class: "more" });
    const add = () => {
      list.append(...items.slice(shown, shown + step).map((item) => page.thumbnail(item)));
      shown = Math.min(shown + step, items.length);
      more.textContent = `Show ${Math.min(step, items.length - shown)} more of ${items.length - shown}`;
      if (shown >= items.length) more.remove();
    };
    more.addEventListener("click", add);
    list.after(more);
    add();
  },

  /**
   * Fill `holder` with a table of `rows` that can be sorted and searched. It has the first `step` rows; a button shows
   * all. A column has a `name`; `value(row)`, to sort by; optionally `cell(row)`, its text or element, and `number`.
   * `find(row)` is the text to search in, and `sort` the number of the column that it is sorted by at first; without it,
   * the rows keep their order.
   */
  table(holder, label, columns, rows, { find, sort = null, descending = false, step = 20 } = {}) {
    let order = { sort, descending }, all = false;
    const search = page.element("input", { type: "search", placeholder: "search", "aria-label": `Search ${label}` });
    const status = page.element("span", { class: "status", role: "status" });
    const more = page.element("button", { type: "button" });
    const headings = columns.map((column, number) => {
      const button = page.element("button", { type: "button", class: "sort" }, column.name);
      button.addEventListener("click", () => {
        const again = order.sort === number;
        order = { sort: number, descending: again ? !order.descending : Boolean(column.number) };
        show();
      });
      return page.element("th", { scope: "col", class: column.number ? "number" : null }, button);
    });
    const body = page.element("tbody");
    const show = () => {
      const text = search.value.trim().toLowerCase();
      const found = text ? rows.filter((row) => find(row).toLowerCase().includes(text)) : [...rows];
      if (order.sort !== null) {
        const { value, number } = columns[order.sort];
        const compare = number ? (a, b) => value(a) - value(b) : (a, b) => page.collator.compare(value(a), value(b));
        found.sort(order.descending ? (a, b) => compare(b, a) : compare);
      }
      headings.forEach((heading, at) => at === order.sort
        ? heading.setAttribute("aria-sort", order.descending ? "descending" : "ascending")
        : heading.removeAttribute("aria-sort"));
      body.replaceChildren(...found.slice(0, all ? found.length : step).map((row) => page.element("tr", {},
        ...columns.map((column) => page.element("td", { class: column.number ? "number" : "text" },
          (column.cell ?? column.value)(row))))));
      const shown = body.rows.length;
      status.textContent = found.length || !rows.length
        ? `${shown.toLocaleString("en")} of ${found.length.toLocaleString("en")} shown`
        : `none of ${rows.length.toLocaleString("en")} found`;
      more.hidden = !all && shown === found.length;
      more.textContent = all ? `Show the first ${step}` : `Show all ${found.length.toLocaleString("en")}`;
    };
    search.addEventListener("input", show);
    more.addEventListener("click", () => { all = !all; show(); });
    const table = page.element("table", {}, page.element("caption", { class: "hidden" }, label),
      page.element("thead", {}, page.element("tr", {}, ...headings)), body);
    holder.replaceChildren(...(find && rows.length > step ? [page.element("div", { class: "filters" }, search)] : []),
      page.element("div", { class: "scroll" }, table), page.element("div", { class: "filters" }, more, status));
    show();
  },

  collator: new Intl.Collator("en", { numeric: true }),

  /** Make `element` act as a button for mouse and keyboard. */
  button(element, label, action) {
    element.setAttribute("role", "button");
    element.setAttribute("tabindex", "0");
    element.setAttribute("aria-label", label);
    element.addEventListener("click", action);
    element.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        action(event);
      }
    });
  },
};

{
  const themes = ["auto", "light", "dark"];
  const button = document.getElementById("theme");
  button.addEventListener("click", () => {
    const next = themes[(themes.indexOf(document.documentElement.dataset.theme || "auto") + 1) % themes.length];
    document.documentElement.dataset.theme = next;
    button.textContent = `theme: ${next}`;
  });
}

for (const heading of document.querySelectorAll("h2[id]")) {
  document.getElementById("contents").append(page.element("a", { href: `#${heading.id}` }, heading.textContent));
}

for (const copy of document.querySelectorAll(".copy")) {
  copy.addEventListener("click", async () => {
    const code = copy.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      copy.textContent = "Copied";
    } catch {
      // A browser may not allow it for a file; the text is selected instead, for Ctrl-C.
      getSelection().selectAllChildren(code);
    }
  });
}

// A table with the class `sortable` is sorted by the column of a heading that is clicked. A cell may have the value to
// sort by in `data-value`.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = page.element("button", { type: "button", class: "sort" }, heading.textContent);
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const ascending = heading.getAttribute("aria-sort") !== "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
      const numeric = heading.classList.contains("number");
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => numeric ? Number(value(a)) - Number(value(b)) : value(a).localeCompare(value(b)));
      table.tBodies[0].append(...(ascending ? rows : rows.reverse()));
    });
  });
}

// A tooltip stays within the window, so that it can be read, and the page does not scroll sideways.
for (const event of ["pointerover", "focusin"]) {
  document.addEventListener(event, ({ target }) => {
    const holder = target.closest?.(".tip");
    const tooltip = holder?.querySelector("[role=tooltip]");
    if (!tooltip) return;
    tooltip.style.left = "0";
    const over = tooltip.getBoundingClientRect().right - (document.documentElement.clientWidth - 8);
    if (over > 0) tooltip.style.left = `${-Math.min(over, holder.getBoundingClientRect().left - 8)}px`;
  });
}

// Escape hides a tooltip, as assistive technology expects.
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && document.activeElement?.classList.contains("tip")) document.activeElement.blur();
});
