#include "server/base/json.h"

#include "absl/strings/str_cat.h"

namespace om {
namespace {

void AppendPython(const Json& value, std::string* out) {
  switch (value.type()) {
    case Json::value_t::object: {
      out->push_back('{');
      bool first = true;
      for (const auto& [key, member] : value.items()) {
        if (!first) out->append(", ");
        first = false;
        out->append(Json(key).dump(-1, ' ', true, Json::error_handler_t::replace));
        out->append(": ");
        AppendPython(member, out);
      }
      out->push_back('}');
      break;
    }
    case Json::value_t::array: {
      out->push_back('[');
      bool first = true;
      for (const Json& member : value) {
        if (!first) out->append(", ");
        first = false;
        AppendPython(member, out);
      }
      out->push_back(']');
      break;
    }
    default:
      out->append(value.dump(-1, ' ', true, Json::error_handler_t::replace));
  }
}

// Builds the value like the library's own handler, but says no past a depth, before the memory is
// spent: its parser does not recurse, though destructors and our walkers do.
class BoundedHandler : public nlohmann::detail::json_sax_dom_parser<Json> {
 public:
  using Base = nlohmann::detail::json_sax_dom_parser<Json>;
  BoundedHandler(Json* result, int max_depth) : Base(*result, false), max_depth_(max_depth) {}

  bool start_object(std::size_t length) { return Enter() && Base::start_object(length); }
  bool start_array(std::size_t length) { return Enter() && Base::start_array(length); }
  bool end_object() {
    --depth_;
    return Base::end_object();
  }
  bool end_array() {
    --depth_;
    return Base::end_array();
  }
  template <class Exception>
  bool parse_error(std::size_t position, const std::string& /*token*/, const Exception& /*error*/) {
    error_position_ = position;
    return false;
  }

  bool too_deep() const { return depth_ > max_depth_; }
  std::size_t error_position() const { return error_position_; }

 private:
  bool Enter() { return ++depth_ <= max_depth_; }

  const int max_depth_;
  int depth_ = 0;
  std::size_t error_position_ = 0;
};

}  // namespace

absl::StatusOr<Json> ParseJson(absl::string_view text, int max_depth) {
  // The library takes a zero byte for the end of the text: what follows it would pass unread.
  const std::size_t zero = text.find('\0');
  if (zero != absl::string_view::npos) {
    return absl::InvalidArgumentError(absl::StrCat("not JSON (zero byte at byte ", zero, ")"));
  }
  Json value;
  BoundedHandler handler(&value, max_depth);
  const bool ok =
      Json::sax_parse(text.data(), text.data() + text.size(), &handler, Json::input_format_t::json);
  if (ok) return value;
  if (handler.too_deep()) {
    return absl::InvalidArgumentError(
        absl::StrCat("JSON nested deeper than the limit of ", max_depth, " levels"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("not JSON (at byte ", handler.error_position(), ")"));
}

std::string DumpJson(const Json& value) {
  std::string out;
  AppendPython(value, &out);
  return out;
}

std::string DumpCompactJson(const Json& value) {
  return value.dump(-1, ' ', true, Json::error_handler_t::replace);
}

}  // namespace om
