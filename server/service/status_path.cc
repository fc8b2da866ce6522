#include "server/service/status_path.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/message.h"
#include "google/protobuf/timestamp.pb.h"
#include "om/control/v1/daemon.pb.h"
#include "server/base/status.h"
#include "server/service/convert.h"

namespace om {
namespace {

namespace pb = control::v1;
using google::protobuf::Descriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr size_t kMaxConditionBytes = 1024;
constexpr char kExpected[] =
    "expected services.<path>.<field>, nodes.<node>.<field>, threads.<id>.<field> or "
    "cluster.<field>, with =, !=, >, >=, <, <= and a value, or nothing";

absl::Status Invalid(absl::string_view text, absl::string_view why) {
  return WithField(absl::InvalidArgumentError(absl::StrCat("condition \"", text, "\": ", why)),
                   "condition");
}

bool IsTime(const FieldDescriptor* field) {
  return field->message_type() != nullptr &&
         field->message_type() == google::protobuf::Timestamp::descriptor();
}

// The word for a state: RESOURCE_STATE_STANDBY_UP is "stdby up".
std::string WordOf(const EnumValueDescriptor* value) {
  std::string prefix;
  for (const char letter : value->type()->name()) {
    if (absl::ascii_isupper(static_cast<unsigned char>(letter)) && !prefix.empty()) prefix += '_';
    prefix += absl::ascii_toupper(static_cast<unsigned char>(letter));
  }
  absl::string_view name = value->name();
  if (name.size() > prefix.size() && name.substr(0, prefix.size()) == prefix) {
    name.remove_prefix(prefix.size() + 1);
  }
  std::string word = absl::StrReplaceAll(absl::AsciiStrToLower(name), {{"_", " "}});
  static constexpr std::array<std::pair<absl::string_view, absl::string_view>, 5> kWords = {{
      {"not applicable", "n/a"},
      {"standby up", "stdby up"},
      {"standby down", "stdby down"},
      {"undefined", "undef"},
      {"non optimal", "non-optimal"},
  }};
  for (const auto& [plain, used] : kWords) {
    if (word == plain) return std::string(used);
  }
  return word;
}

// The field by which entries of a list are named; null: they have no names.
const FieldDescriptor* NameField(const FieldDescriptor* list) {
  if (!list->is_repeated() || list->message_type() == nullptr) return nullptr;
  if (list->is_map()) return list->message_type()->FindFieldByName("key");
  if (list->message_type() == pb::InstanceStatus::descriptor()) {
    return list->message_type()->FindFieldByName("node");
  }
  return list->message_type()->FindFieldByName("id");
}

// `frozen` is what people ask for; the message has the time.
const FieldDescriptor* FindField(const Descriptor* type, absl::string_view name) {
  const FieldDescriptor* field = type->FindFieldByName(std::string(name));
  if (field == nullptr && name == "frozen") field = type->FindFieldByName("freeze_time");
  return field;
}

std::string FieldNames(const Descriptor* type) {
  std::vector<std::string> names;
  names.reserve(static_cast<size_t>(type->field_count()) + 1);
  for (int i = 0; i < type->field_count(); ++i) names.push_back(type->field(i)->name());
  if (type->FindFieldByName("freeze_time") != nullptr) names.emplace_back("frozen");
  std::sort(names.begin(), names.end());
  return absl::StrJoin(names, ", ");
}

bool IsNumber(const FieldDescriptor* field) {
  if (field->is_repeated() && !field->is_map()) return false;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
    case FieldDescriptor::CPPTYPE_UINT32:
    case FieldDescriptor::CPPTYPE_UINT64:
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT:
      return true;
    case FieldDescriptor::CPPTYPE_MESSAGE:
      if (field->is_map()) return IsNumber(field->message_type()->FindFieldByName("value"));
      return IsTime(field);
    default:
      return false;
  }
}

std::string ScalarText(const Message& message, const FieldDescriptor* field, int index) {
  const Reflection* reflection = message.GetReflection();
  const bool repeated = field->is_repeated();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return absl::StrCat(repeated ? reflection->GetRepeatedInt32(message, field, index)
                                   : reflection->GetInt32(message, field));
    case FieldDescriptor::CPPTYPE_INT64:
      return absl::StrCat(repeated ? reflection->GetRepeatedInt64(message, field, index)
                                   : reflection->GetInt64(message, field));
    case FieldDescriptor::CPPTYPE_UINT32:
      return absl::StrCat(repeated ? reflection->GetRepeatedUInt32(message, field, index)
                                   : reflection->GetUInt32(message, field));
    case FieldDescriptor::CPPTYPE_UINT64:
      return absl::StrCat(repeated ? reflection->GetRepeatedUInt64(message, field, index)
                                   : reflection->GetUInt64(message, field));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return absl::StrCat(repeated ? reflection->GetRepeatedDouble(message, field, index)
                                   : reflection->GetDouble(message, field));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return absl::StrCat(repeated ? reflection->GetRepeatedFloat(message, field, index)
                                   : reflection->GetFloat(message, field));
    case FieldDescriptor::CPPTYPE_BOOL: {
      const bool value = repeated ? reflection->GetRepeatedBool(message, field, index)
                                  : reflection->GetBool(message, field);
      return value ? "true" : "false";
    }
    case FieldDescriptor::CPPTYPE_ENUM:
      return WordOf(repeated ? reflection->GetRepeatedEnum(message, field, index)
                             : reflection->GetEnum(message, field));
    case FieldDescriptor::CPPTYPE_STRING:
      return repeated ? reflection->GetRepeatedString(message, field, index)
                      : reflection->GetString(message, field);
    default:
      return "";
  }
}

}  // namespace

std::optional<std::vector<StatusCondition::Step>> StatusCondition::Resolve(
    const Descriptor* type, const std::vector<absl::string_view>& parts, size_t first) {
  if (first >= parts.size()) return std::nullopt;
  Step step;
  step.field = FindField(type, parts[first]);
  if (step.field == nullptr) return std::nullopt;
  const bool last = first + 1 == parts.size();
  const FieldDescriptor* const name = NameField(step.field);
  if (name == nullptr) {
    const bool leads_on = step.field->message_type() != nullptr && !IsTime(step.field);
    if (leads_on == last || (leads_on && step.field->is_repeated())) return std::nullopt;
    if (last) return std::vector<Step>{std::move(step)};
    std::optional<std::vector<Step>> rest = Resolve(step.field->message_type(), parts, first + 1);
    if (rest.has_value()) rest->insert(rest->begin(), std::move(step));
    return rest;
  }
  for (size_t next = first + 2; next <= parts.size(); ++next) {
    step.key = absl::StrJoin(parts.begin() + static_cast<std::ptrdiff_t>(first) + 1,
                             parts.begin() + static_cast<std::ptrdiff_t>(next), ".");
    if (step.field->is_map()) {
      // A key of a map is all that is left.
      if (next == parts.size()) return std::vector<Step>{std::move(step)};
      continue;
    }
    std::optional<std::vector<Step>> rest = Resolve(step.field->message_type(), parts, next);
    if (!rest.has_value()) continue;
    rest->insert(rest->begin(), std::move(step));
    return rest;
  }
  return std::nullopt;
}

absl::StatusOr<StatusCondition> StatusCondition::Parse(absl::string_view text) {
  if (text.size() > kMaxConditionBytes) {
    return Invalid(absl::StrCat(text.substr(0, 32), "..."),
                   absl::StrCat(text.size(), " bytes; at most ", kMaxConditionBytes));
  }
  StatusCondition condition;
  const size_t sign = text.find_first_of("=!<>");
  absl::string_view path = absl::StripAsciiWhitespace(text.substr(0, sign));
  if (sign != absl::string_view::npos) {
    absl::string_view rest = text.substr(sign);
    static constexpr std::array<std::pair<absl::string_view, Operator>, 6> kOperators = {{
        {"!=", Operator::kUnequal},
        {">=", Operator::kGreaterOrEqual},
        {"<=", Operator::kLessOrEqual},
        {"=", Operator::kEqual},
        {">", Operator::kGreater},
        {"<", Operator::kLess},
    }};
    const auto* const found = std::find_if(
        kOperators.begin(), kOperators.end(),
        [rest](const auto& one) { return rest.substr(0, one.first.size()) == one.first; });
    if (found == kOperators.end()) return Invalid(text, kExpected);
    condition.operator_ = found->second;
    condition.wanted_ = std::string(absl::StripAsciiWhitespace(rest.substr(found->first.size())));
  }

  const std::vector<absl::string_view> parts = absl::StrSplit(path, '.');
  const Descriptor* type = nullptr;
  if (parts[0] == "services" || parts[0] == "objects") {
    condition.root_ = Root::kServices;
    type = pb::ObjectStatus::descriptor();
  } else if (parts[0] == "nodes") {
    condition.root_ = Root::kNodes;
    type = pb::NodeStatus::descriptor();
  } else if (parts[0] == "threads") {
    condition.root_ = Root::kThreads;
    type = pb::ThreadStatus::descriptor();
  } else if (parts[0] == "cluster") {
    type = pb::ClusterStatus::descriptor();
  } else {
    return Invalid(text, kExpected);
  }
  std::optional<std::vector<Step>> steps;
  if (condition.root_ == Root::kCluster) {
    steps = Resolve(type, parts, 1);
  } else {
    for (size_t next = 2; next < parts.size() && !steps.has_value(); ++next) {
      steps = Resolve(type, parts, next);
      condition.name_ =
          absl::StrJoin(parts.begin() + 1, parts.begin() + static_cast<std::ptrdiff_t>(next), ".");
    }
  }
  if (!steps.has_value()) {
    return Invalid(text, absl::StrCat("no such field; expected ", parts[0],
                                      condition.root_ == Root::kCluster ? "." : ".<name>.",
                                      "<field>, with a field of ", FieldNames(type)));
  }
  condition.steps_ = *std::move(steps);
  if (condition.root_ == Root::kServices) {
    absl::StatusOr<ObjectPath> object = ObjectPath::Parse(condition.name_);
    if (!object.ok()) return Invalid(text, object.status().message());
    condition.object_ = *std::move(object);
  } else if (condition.root_ != Root::kCluster && condition.name_.empty()) {
    return Invalid(text, kExpected);
  }

  const Step& leaf = condition.steps_.back();
  const bool frozen = IsTime(leaf.field) && parts.back() == "frozen";
  if (frozen) condition.steps_.back().key = "frozen";
  if (condition.operator_ == Operator::kIsSet) return condition;
  const bool ordered =
      condition.operator_ != Operator::kEqual && condition.operator_ != Operator::kUnequal;
  if (ordered && (!IsNumber(leaf.field) || frozen)) {
    return Invalid(text, absl::StrCat(leaf.field->name(), " is no number; expected = or !="));
  }
  if (IsNumber(leaf.field) && !frozen) {
    if (!absl::SimpleAtod(condition.wanted_, &condition.wanted_number_)) {
      return Invalid(text, absl::StrCat("\"", condition.wanted_, "\" is no number"));
    }
    return condition;
  }
  condition.wanted_ = absl::AsciiStrToLower(condition.wanted_);
  std::vector<std::string> words;
  if (frozen) {
    words = {"frozen", "thawed"};
  } else if (leaf.field->cpp_type() == FieldDescriptor::CPPTYPE_BOOL) {
    words = {"false", "true"};
  } else if (leaf.field->cpp_type() == FieldDescriptor::CPPTYPE_ENUM) {
    for (int i = 1; i < leaf.field->enum_type()->value_count(); ++i) {
      words.push_back(WordOf(leaf.field->enum_type()->value(i)));
    }
  }
  if (!words.empty() && std::find(words.begin(), words.end(), condition.wanted_) == words.end()) {
    return Invalid(text,
                   absl::StrCat("\"", condition.wanted_, "\" is no state of ", leaf.field->name(),
                                "; expected ", absl::StrJoin(words, ", ")));
  }
  return condition;
}

std::optional<std::string> StatusCondition::ValueIn(const Message& message) const {
  const Message* at = &message;
  for (const Step& step : steps_) {
    const Reflection* reflection = at->GetReflection();
    const FieldDescriptor* const field = step.field;
    if (const FieldDescriptor* const name = NameField(field)) {
      const Message* found = nullptr;
      for (int i = 0; i < reflection->FieldSize(*at, field) && found == nullptr; ++i) {
        const Message& entry = reflection->GetRepeatedMessage(*at, field, i);
        if (entry.GetReflection()->GetString(entry, name) == step.key) found = &entry;
      }
      if (found == nullptr) return std::nullopt;
      if (field->is_map()) {
        return ScalarText(*found, field->message_type()->FindFieldByName("value"), 0);
      }
      at = found;
    } else if (IsTime(field)) {
      const bool set = reflection->HasField(*at, field);
      if (field->name() == "freeze_time" && step.key == "frozen") return set ? "frozen" : "thawed";
      if (!set) return std::nullopt;
      const auto& time =
          static_cast<const google::protobuf::Timestamp&>(reflection->GetMessage(*at, field));
      return absl::StrFormat("%d.%03d", time.seconds(), time.nanos() / 1'000'000);
    } else if (field->message_type() != nullptr) {
      if (!reflection->HasField(*at, field)) return std::nullopt;
      at = &reflection->GetMessage(*at, field);
    } else if (field->is_repeated()) {
      const int count = reflection->FieldSize(*at, field);
      std::vector<std::string> texts;
      texts.reserve(static_cast<size_t>(count));
      for (int i = 0; i < count; ++i) texts.push_back(ScalarText(*at, field, i));
      return absl::StrJoin(texts, " ");
    } else {
      return ScalarText(*at, field, 0);
    }
  }
  return std::nullopt;
}

std::optional<std::string> StatusCondition::Value(const Snapshot& snapshot,
                                                  const Visibility& visibility) const {
  switch (root_) {
    case Root::kServices: {
      if (!visibility.Sees(object_)) return std::nullopt;
      const std::shared_ptr<const ObjectState> object = snapshot.objects.Find(object_);
      if (object == nullptr) return std::nullopt;
      return ValueIn(ToProto(*object));
    }
    case Root::kNodes: {
      const auto node = snapshot.nodes->find(name_);
      if (node == snapshot.nodes->end()) return std::nullopt;
      return ValueIn(ToProto(*node->second));
    }
    case Root::kThreads: {
      const auto thread = snapshot.threads->find(name_);
      if (thread == snapshot.threads->end()) return std::nullopt;
      return ValueIn(visibility.ShowThread(thread->second, snapshot));
    }
    case Root::kCluster:
      break;
  }
  return ValueIn(visibility.ShowCluster(snapshot));
}

bool StatusCondition::IsMetBy(const std::optional<std::string>& value) const {
  if (!value.has_value()) return operator_ == Operator::kUnequal;
  double number = 0;
  const bool is_number = IsNumber(steps_.back().field) && steps_.back().key != "frozen" &&
                         absl::SimpleAtod(*value, &number);
  switch (operator_) {
    case Operator::kIsSet:
      return !value->empty() && *value != "false" && *value != "thawed" &&
             !(is_number && number == 0);
    case Operator::kEqual:
      return is_number ? number == wanted_number_ : absl::AsciiStrToLower(*value) == wanted_;
    case Operator::kUnequal:
      return is_number ? number != wanted_number_ : absl::AsciiStrToLower(*value) != wanted_;
    case Operator::kLess:
      return is_number && number < wanted_number_;
    case Operator::kLessOrEqual:
      return is_number && number <= wanted_number_;
    case Operator::kGreater:
      return is_number && number > wanted_number_;
    case Operator::kGreaterOrEqual:
      return is_number && number >= wanted_number_;
  }
  return false;
}

}  // namespace om
