#include "server/service/user_directory.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "server/base/file.h"
#include "server/base/status.h"
#include "server/config/document.h"
#include "server/service/errors.h"

namespace om {
namespace {

constexpr size_t kMaxUserFileBytes = size_t{1} << 20;

absl::Status UnknownUser(absl::string_view name) {
  return MakeError("USER_UNKNOWN",
                   absl::StrCat("there is no user ", absl::CHexEscape(name.substr(0, 64))));
}

}  // namespace

UserDirectory::UserDirectory(const Roots& roots)
    : dir_(absl::StrCat(roots.etc, "/namespaces/system/usr")) {}

UserDirectory::Entry UserDirectory::Load(const std::string& name, const std::string& path,
                                         const FileStamp& stamp) {
  Entry entry;
  entry.stamp = stamp;
  entry.facts.name = name;
  entry.facts.cn = name;
  const auto broken = [&](const absl::Status& why) {
    entry.problem = absl::StrCat("user ", name, " holds nothing: ", why.message());
    return entry;
  };
  const absl::StatusOr<FileContent> file = ReadFile(path, kMaxUserFileBytes);
  if (!file.ok()) return broken(file.status());
  const absl::StatusOr<Document> document = Document::Parse(file->text, path);
  if (!document.ok()) return broken(document.status());
  if (const Document::Value* id = document->Find("DEFAULT", "id")) entry.facts.id = id->text;
  if (const Document::Value* cn = document->Find("DEFAULT", "cn")) entry.facts.cn = cn->text;
  if (const Document::Value* grant = document->Find("DEFAULT", "grant")) {
    absl::StatusOr<Grants> grants = Grants::Parse(grant->text);
    if (!grants.ok()) return broken(grants.status());
    entry.facts.grants = *std::move(grants);
  }
  return entry;
}

void UserDirectory::Refresh() {
  MutexLock one_at_a_time(&refresh_);
  const std::shared_ptr<const Table> before = table();
  auto fresh = std::make_shared<Table>();
  std::error_code error;
  std::filesystem::directory_iterator it(dir_, error);
  // Without the folder there are no users. If it cannot be read, those that are known stay.
  if (error && error != std::errc::no_such_file_or_directory) {
    *fresh = *before;
    fresh->problem = absl::StrCat("users are not read anew: ", dir_, ": ", error.message());
  }
  for (; !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    const std::string file = it->path().filename().string();
    absl::string_view name = file;
    if (!absl::ConsumeSuffix(&name, ".conf") || name.empty() || name[0] == '.') continue;
    if (fresh->by_name.size() >= kMaxUsers) {
      fresh->problem = absl::StrCat("of the users only the first ", kMaxUsers, " count");
      break;
    }
    const std::string path = it->path().string();
    const FileStamp stamp = StampOf(path);
    const auto known = before->by_name.find(name);
    if (known != before->by_name.end() && known->second.stamp == stamp) {
      fresh->by_name.insert(*known);
    } else {
      fresh->by_name.emplace(name, Load(std::string(name), path, stamp));
    }
  }
  fresh->by_cn.clear();
  for (auto& [name, entry] : fresh->by_name) {
    const auto [taken, is_new] = fresh->by_cn.emplace(entry.facts.cn, name);
    // Who he is must not hang on the order of files: a name that two claim is nobody's.
    if (!is_new) taken->second.clear();
  }
  MutexLock lock(&mutex_);
  table_ = std::move(fresh);
}

std::shared_ptr<const UserDirectory::Table> UserDirectory::table() const {
  MutexLock lock(&mutex_);
  return table_;
}

absl::StatusOr<UserFacts> UserDirectory::Find(absl::string_view name) const {
  const std::shared_ptr<const Table> now = table();
  const auto found = now->by_name.find(name);
  if (found == now->by_name.end()) return UnknownUser(name);
  return found->second.facts;
}

absl::StatusOr<UserFacts> UserDirectory::FindByCertificateName(absl::string_view cn) const {
  const std::shared_ptr<const Table> now = table();
  const auto found = now->by_cn.find(cn);
  if (found == now->by_cn.end() || found->second.empty()) return UnknownUser(cn);
  return now->by_name.at(found->second).facts;
}

std::vector<std::string> UserDirectory::Problems() const {
  const std::shared_ptr<const Table> now = table();
  std::vector<std::string> problems;
  if (!now->problem.empty()) problems.push_back(now->problem);
  for (const auto& [name, entry] : now->by_name) {
    if (!entry.problem.empty()) problems.push_back(entry.problem);
  }
  for (const auto& [cn, name] : now->by_cn) {
    if (name.empty()) {
      problems.push_back(absl::StrCat("more than one user claims the certificate name ", cn));
    }
  }
  return problems;
}

}  // namespace om
