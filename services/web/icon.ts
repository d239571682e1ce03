/** The picture in a browser's tab, as SVG. */
export const icon =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="3" fill="#1d2027"/><g fill="none" stroke="#8ea7ff" stroke-width="1.5"><circle cx="6" cy="9.5" r="3"/><circle cx="10.5" cy="6" r="2"/><circle cx="12.5" cy="3" r=".8"/></g></svg>'
