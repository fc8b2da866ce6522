#include "server/base/json.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
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

// Builds the value, but says no past a depth, before the memory is spent: the parser does not
// recurse, though destructors and our walkers do. The library's own handler looks through all
// members for each new one, which makes an object of many cost their square.
class BoundedHandler {
 public:
  BoundedHandler(Json* result, size_t max_depth) : result_(result), max_depth_(max_depth) {}

  bool null() { return Put(nullptr) != nullptr; }
  bool boolean(bool value) { return Put(value) != nullptr; }
  bool number_integer(Json::number_integer_t value) { return Put(value) != nullptr; }
  bool number_unsigned(Json::number_unsigned_t value) { return Put(value) != nullptr; }
  bool number_float(Json::number_float_t value, const std::string& /*text*/) {
    return Put(value) != nullptr;
  }
  bool string(std::string& value) { return Put(std::move(value)) != nullptr; }
  bool binary(Json::binary_t& value) { return Put(std::move(value)) != nullptr; }
  bool start_object(std::size_t /*length*/) { return Open(Json::object()); }
  bool end_object() { return Close(); }
  bool start_array(std::size_t /*length*/) { return Open(Json::array()); }
  bool end_array() { return Close(); }
  // A key that was there before keeps its place and gets the later value, as in Python.
  bool key(std::string& name) {
    Level& level = open_.back();
    auto& members = *level.value->get_ptr<Json::object_t*>();
    if (members.size() < kFewMembers) {
      level.member = &members[name];
      return true;
    }
    if (level.index.empty()) {
      for (size_t i = 0; i < members.size(); ++i) level.index[members.data()[i].first] = i;
    }
    const auto [at, is_new] = level.index.try_emplace(name, members.size());
    if (is_new) members.emplace_back(std::move(name), nullptr);
    level.member = &members.data()[at->second].second;
    return true;
  }
  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const Json::exception& /*error*/) {
    error_position_ = position;
    return false;
  }

  bool too_deep() const { return too_deep_; }
  std::size_t error_position() const { return error_position_; }

 private:
  static constexpr size_t kFewMembers = 16;  // Looked through faster than looked up.
  struct Level {
    Json* value;
    Json* member = nullptr;                               // Of an object: whose value comes next.
    absl::flat_hash_map<std::string, size_t> index = {};  // Of an object with many members.
  };

  // Where it was put; never null.
  Json* Put(Json value) {
    Json* place = result_;
    if (!open_.empty() && open_.back().value->is_array()) {
      open_.back().value->push_back(std::move(value));
      return &open_.back().value->back();
    }
    if (!open_.empty()) place = open_.back().member;
    *place = std::move(value);
    return place;
  }
  bool Open(Json value) {
    too_deep_ = open_.size() >= max_depth_;
    if (too_deep_) return false;
    open_.push_back({Put(std::move(value))});
    return true;
  }
  bool Close() {
    open_.pop_back();
    return true;
  }

  Json* const result_;
  const size_t max_depth_;
  std::vector<Level> open_;
  bool too_deep_ = false;
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
  BoundedHandler handler(&value, static_cast<size_t>(std::max(max_depth, 0)));
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
