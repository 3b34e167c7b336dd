// The comparison of runs: the classes that got better or worse.
{
  const select = document.getElementById("changes");
  const all = page.data("changes-data");
  const signed = (number) => (number > 0 ? `+${number}` : String(number).replace("-", "\u2212"));

  const show = () => {
    const { first, second, classes } = all[select.value];
    const better = classes.filter((row) => row[3] > row[2]).length;
    document.getElementById("change-status").textContent =
      `${better.toLocaleString("en")} better and ${(classes.length - better).toLocaleString("en")} worse in ${second} than in ${first}`;
    const number = (at) => ({ number: true, value: (row) => row[at], cell: (row) => String(row[at]) });
    page.table(document.getElementById("change-table"), "Classes that changed", [
      { name: "class", value: (row) => row[0] },
      { name: "images", ...number(1) },
      { name: `correct in ${first}`, ...number(2) },
      { name: `correct in ${second}`, ...number(3) },
      { name: "change", number: true, value: (row) => row[3] - row[2], cell: (row) => signed(row[3] - row[2]) },
      { name: "fixed", ...number(4) },
      { name: "broken", ...number(5) },
    ], classes, { find: (row) => row[0] });
  };

  if (select) {
    all.forEach(({ first, second }, number) =>
      select.append(page.element("option", { value: String(number) }, `${second} with ${first}`)));
    select.addEventListener("change", show);
    show();
  }
}
