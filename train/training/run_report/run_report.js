// The report of a run: the images of a confusion, the worst mistakes, the table of classes.
{
  const data = page.data("evaluation");
  const [width, height] = data?.size ?? [64, 64];
  const FIELDS = { src: 0, label: 1, predicted: 2, probability: 3, labelProbability: 4, position: 5, origin: 6 };
  const PREFIX = "data:image/webp;base64,";
  const percent = (share) => share >= 0.1 ? `${(100 * share).toFixed(0)} %` : `${(100 * share).toPrecision(2)} %`;
  const name = (label) => data.names[label];
  const image = (number) => Object.fromEntries(Object.entries(FIELDS).map(([key, at]) => [key, data.images[number][at]]));
  const cells = [...document.querySelectorAll(".matrix button")];

  const byPair = new Map();
  (data?.images ?? []).forEach((_, number) => {
    const { label, predicted } = image(number);
    const key = `${label} ${predicted}`;
    byPair.set(key, [...(byPair.get(key) ?? []), number]);
  });
  const imagesOf = (label, predicted) => byPair.get(`${label} ${predicted}`) ?? [];

  /** Show the images of class `label` that are classified as `predicted`; `count` is the number of all of them. */
  const showPair = (label, predicted, count, move) => {
    const correct = label === predicted;
    const numbers = imagesOf(label, predicted).sort((a, b) =>
      (correct ? 1 : -1) * (image(a).probability - image(b).probability));
    cells.forEach((cell) => cell.setAttribute("aria-pressed",
      cell.dataset.true === String(label) && cell.dataset.predicted === String(predicted)));
    const what = `${name(label)} classified as ${name(predicted)}${correct ? " (correct)" : ""}`;
    const which = numbers.length === count ? "" : !numbers.length ? "; the run keeps no image of them"
      : `; shown: the ${numbers.length} with the ${correct ? "lowest" : "highest"} probability`;
    document.getElementById("pair-status").textContent = `${count.toLocaleString("en")} x ${what}${which}`;
    const list = document.getElementById("pair-images");
    page.gallery(list, numbers.map((number) => {
      const { src, probability, labelProbability, position, origin } = image(number);
      return {
        src: PREFIX + src, alt: what, width, height, caption: percent(probability),
        detail: [`true class ${name(label)}: ${percent(labelProbability)}`,
          `predicted class ${name(predicted)}: ${percent(probability)}`, `position ${position}`, origin].filter(Boolean).join("\n"),
      };
    }));
    if (move) document.getElementById("pair-status").scrollIntoView({ block: "center" });
  };

  // For the arrow keys: `cells` is in the order of rows, and sorting is stable.
  const byColumn = [...cells].sort((a, b) => a.parentElement.cellIndex - b.parentElement.cellIndex);
  for (const cell of cells) {
    cell.addEventListener("click", () =>
      showPair(Number(cell.dataset.true), Number(cell.dataset.predicted), Number(cell.textContent)));
    cell.addEventListener("keydown", (event) => {
      const order = { ArrowRight: cells, ArrowLeft: cells, ArrowDown: byColumn, ArrowUp: byColumn }[event.key];
      if (!order) return;
      event.preventDefault();
      order[order.indexOf(cell) + (event.key === "ArrowRight" || event.key === "ArrowDown" ? 1 : -1)]?.focus();
    });
  }
  if (data?.names.some((one) => [...one].length > 3)) document.querySelector(".matrix")?.classList.add("long");

  /** Return a button that shows the images of a confusion, or its text if the run keeps no image of it. */
  const pairButton = (text, label, predicted, count) => {
    if (!imagesOf(label, predicted).length || !document.getElementById("pair-images")) return text;
    const button = page.element("button", { type: "button", class: "link",
      "aria-label": `Show images of ${name(label)} classified as ${name(predicted)}` }, text);
    button.addEventListener("click", () => showPair(label, predicted, count, true));
    return button;
  };

  const pairs = document.getElementById("pairs");
  if (pairs) {
    const totals = new Map(data.classes.map(([label, images]) => [label, images]));
    page.table(pairs, "Most frequent confusions", [
      { name: "images", number: true, value: (row) => row[2], cell: (row) => pairButton(String(row[2]), ...row) },
      { name: "true class", value: (row) => name(row[0]) },
      { name: "predicted class", value: (row) => name(row[1]) },
      { name: "share of the true class", number: true, value: (row) => row[2] / totals.get(row[0]),
        cell: (row) => percent(row[2] / totals.get(row[0])) },
    ], data.pairs, { find: (row) => `${name(row[0])} ${name(row[1])}`, sort: 0, descending: true, step: 10 });
  }

  const worst = document.getElementById("worst");
  if (worst && data.worst) {
    const card = ([number, classes, probabilities]) => {
      const { src, label, predicted, position, origin } = image(number);
      const alt = `true class ${name(label)}, classified as ${name(predicted)}`;
      return page.element("li", {},
        page.element("img", { src: PREFIX + src, alt, width, height }),
        page.element("div", {},
          page.element("p", {}, "true class: ", page.element("strong", {}, name(label))),
          page.element("ol", { "aria-label": "Likeliest classes" }, ...classes.map((one, at) => page.element("li",
            { class: one === label ? "true" : at === 0 ? "wrong" : null, style: `--p:${probabilities[at]}` },
            page.element("span", {}, name(one)), page.element("span", {}, percent(probabilities[at]))))),
          page.element("small", {}, origin || `position ${position}`)));
    };
    const step = 12;
    const more = page.element("button", { type: "button" });
    const add = () => {
      worst.append(...data.worst.slice(worst.children.length, worst.children.length + step).map(card));
      const left = data.worst.length - worst.children.length;
      more.textContent = `Show ${Math.min(step, left)} more of ${left}`;
      if (!left) more.remove();
    };
    more.addEventListener("click", add);
    worst.after(more);
    add();
  }

  const classes = document.getElementById("class-table");
  if (classes) {
    page.table(classes, "Classes", [
      { name: "class", value: (row) => name(row[0]) },
      { name: "images", number: true, value: (row) => row[1], cell: (row) => String(row[1]) },
      { name: "correct", number: true, value: (row) => row[2], cell: (row) => String(row[2]) },
      { name: "accuracy", number: true, value: (row) => row[2] / row[1], cell: (row) => `${(100 * row[2] / row[1]).toFixed(1)} %` },
      { name: "most frequent mistake", value: (row) => (row[3] < 0 ? "" : name(row[3])),
        cell: (row) => (row[3] < 0 ? "" : pairButton(`${name(row[3])} (${row[4]})`, row[0], row[3], row[4])) },
    ], data.classes, { find: (row) => name(row[0]), sort: 3, step: 20 });
  }
}
