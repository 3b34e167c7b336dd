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
