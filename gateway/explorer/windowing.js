/**
 * Which rows of a long list are to be drawn. All rows are of one height; below a few of them something is unfolded. Pure.
 *
 * @typedef {{index: number, height: number}} Unfolded `height` is what is added below the row.
 */
export class Windowing {
  /** @param {number} rowHeight */
  constructor(rowHeight) {
    this.rowHeight = rowHeight;
    this.count = 0;
    /** @type {Unfolded[]} In the order of their indices. */
    this.unfolded = [];
  }

  /** Where a row begins. @param {number} index */
  top(index) {
    let extra = 0;
    for (const each of this.unfolded) if (each.index < index) extra += each.height;
    return index * this.rowHeight + extra;
  }

  /** The height of everything. */
  get height() {
    return this.top(this.count);
  }

  /** The row at this height from the top. @param {number} y */
  indexAt(y) {
    let extra = 0;
    for (const { index, height } of this.unfolded) {
      const begins = (index + 1) * this.rowHeight + extra;
      if (y < begins) break;
      if (y < begins + height) return index;
      extra += height;
    }
    return Math.max(0, Math.min(this.count - 1, Math.floor((y - extra) / this.rowHeight)));
  }

  /**
   * The rows from `first` up to, but not with, `end`.
   * @param {number} scrollTop @param {number} viewport @param {number} [spare] rows beyond the edges
   */
  range(scrollTop, viewport, spare = 4) {
    if (this.count === 0) return { first: 0, end: 0 };
    const first = Math.max(0, this.indexAt(scrollTop) - spare);
    const end = Math.min(this.count, this.indexAt(scrollTop + viewport) + 1 + spare);
    return { first, end };
  }
}
