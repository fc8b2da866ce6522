#include "server/logs/log_line.h"

#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace om {
namespace {

constexpr char kHex[] = "0123456789abcdef";

thread_local absl::string_view current_component;

void AppendPrintable(std::string* out, absl::string_view text) {
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    if ((byte < 0x20 && c != '\t') || byte == 0x7f) {
      out->append({'\\', 'x', kHex[byte >> 4], kHex[byte & 15]});
    } else {
      out->push_back(c);
    }
  }
}

}  // namespace

LogComponent::LogComponent(absl::string_view name) : outer_(current_component) {
  current_component = name;
}

LogComponent::~LogComponent() { current_component = outer_; }

absl::string_view LogComponent::Current() { return current_component; }

std::string FormatLogTime(absl::Time time, absl::TimeZone zone) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S,%E3f", time, zone);
}

std::string FormatLogLines(absl::Time time, absl::TimeZone zone, absl::string_view node,
                           absl::string_view component, absl::string_view level,
                           absl::string_view text) {
  const std::string prefix =
      absl::StrCat(FormatLogTime(time, zone), " - ", node, ".osvcd", component.empty() ? "" : ".",
                   component, " - ", level, " - ");
  size_t cut_bytes = 0;
  if (text.size() > kMaxLogTextBytes) {
    cut_bytes = text.size() - kMaxLogTextBytes;
    text = text.substr(0, kMaxLogTextBytes);
  }
  while (absl::ConsumeSuffix(&text, "\n")) {
  }
  std::string lines;
  size_t count = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (count == kMaxLinesPerMessage) {
      cut_bytes += static_cast<size_t>(text.data() + text.size() - line.data());
      break;
    }
    absl::ConsumeSuffix(&line, "\r");
    absl::StrAppend(&lines, prefix, count == 0 ? "" : "    ");
    AppendPrintable(&lines, line);
    lines.push_back('\n');
    ++count;
  }
  if (cut_bytes > 0) absl::StrAppend(&lines, prefix, "    (", cut_bytes, " bytes cut off)\n");
  return lines;
}

}  // namespace om
