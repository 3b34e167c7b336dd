"""Self-contained HTML pages: template, style and script, charts as SVG, images as WebP."""
