#:project ../../src/MemSim/MemSim.csproj
#:project ../../src/MemSim.Recordings/MemSim.Recordings.csproj
#:project ../../src/MemSim.Reports/MemSim.Reports.csproj
#:project ../../src/MemSim.Testing/MemSim.Testing.csproj
#:project ../../src/MemSim.Testing.FluentAssertions/MemSim.Testing.FluentAssertions.csproj
#:project ../../src/MemSim.Testing.Xunit/MemSim.Testing.Xunit.csproj
using System.Diagnostics;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;

// Builds the site with the reference of every public type, the docs and the tour: dotnet run -c Release docs/site/build.cs
// It lies in artifacts/site then; a page opened as a file works, but for the search, which needs a web server.
string root = Path.GetFullPath(Path.Combine((string)AppContext.GetData("EntryPointFileDirectoryPath")!, "..", ".."));
string stage = Path.Combine(root, "artifacts", "site-input");
string site = Path.Combine(root, "artifacts", "site");
Assembly[] assemblies = [typeof(MemSim.Machine).Assembly, typeof(MemSim.Recordings.TraceReplay).Assembly, typeof(MemSim.Reports.KernelReport).Assembly,
    typeof(MemSim.Testing.Machines).Assembly, typeof(MemSim.Testing.FluentAssertions.FluentMachineExtensions).Assembly, typeof(MemSim.Testing.Xunit.MachineTest).Assembly];

foreach (string folder in (string[])[stage, site])
{
    if (Directory.Exists(folder))
    {
        Directory.Delete(folder, recursive: true);
    }
}

CollectInput();
Run("tool", "restore", "--tool-manifest", Path.Combine(root, ".config", "dotnet-tools.json"));
Run("docfx", "metadata", Path.Combine(stage, "docfx.json"), "--logLevel", "error");
Dictionary<string, string> extensions = [];
foreach (Type type in assemblies.SelectMany(a => a.GetExportedTypes()).Where(t => t.IsAbstract && t.IsSealed))
{
    WriteExtensions(type, extensions);
}

Run("docfx", "build", Path.Combine(stage, "docfx.json"), "--warningsAsErrors", "--logLevel", "warning");
return Check();

// Pages lie below docs as in the repository, so that links between them hold; README is the first page.
void CollectInput()
{
    CopyAll(AppContext.BaseDirectory, Path.Combine(stage, "bin"), "*.dll", "MemSim*.xml");
    File.Delete(Path.Combine(stage, "bin", typeof(Program).Assembly.GetName().Name + ".dll"));
    CopyAll(Path.Combine(root, "docs"), Path.Combine(stage, "docs"), "*.md", "*.svg", "*.png");
    CopyAll(Path.Combine(root, "docs", "tour"), Path.Combine(stage, "docs", "tour"), "*.md");
    CopyAll(Path.Combine(root, "docs", "images"), Path.Combine(stage, "docs", "images"), "*.*");
    CopyAll(Path.Combine(root, "docs", "samples"), Path.Combine(stage, "docs", "samples"), "*.cs");
    CopyAll(Path.Combine(root, "benchmarks"), Path.Combine(stage, "benchmarks"), "*.md", "*.svg");
    File.Copy(Path.Combine(root, "README.md"), Path.Combine(stage, "index.md"));
    File.Copy(Path.Combine(root, "docs", "site", "docfx.json"), Path.Combine(stage, "docfx.json"));
    File.WriteAllText(Path.Combine(stage, "toc.yml"), "- name: Tour\n  href: docs/tour/\n- name: Pages\n  href: docs/\n- name: API\n  href: api/\n");
    File.WriteAllText(Path.Combine(stage, "docs", "toc.yml"), string.Concat(Directory.GetFiles(Path.Combine(stage, "docs"), "*.md").Order(StringComparer.Ordinal).Select(Entry)));
    string tour = Path.Combine(stage, "docs", "tour");
    string contents = File.ReadAllText(Path.Combine(tour, "README.md"));
    File.WriteAllText(Path.Combine(tour, "toc.yml"), Entry(Path.Combine(tour, "README.md"))
        + string.Concat(Regex.Matches(contents, @"\]\(([a-z-]+\.md)\)").Select(m => m.Groups[1].Value).Distinct().Select(page => Entry(Path.Combine(tour, page)))));
}

static string Entry(string page) => $"- name: '{File.ReadLines(page).First().TrimStart('#', ' ').Replace("'", "''").Replace("`", "")}'\n  href: {Path.GetFileName(page)}\n";

// docfx (2.81) knows nothing of extension blocks: it takes their members for the static methods that they are compiled to, properties for get_ methods. They become what one writes,
// and the type that they extend names them.
void WriteExtensions(Type type, Dictionary<string, string> extensions)
{
    string page = Path.Combine(stage, "api", type.FullName + ".yml");
    foreach (Type group in type.GetNestedTypes(BindingFlags.Public | BindingFlags.NonPublic).Where(t => t.Name.StartsWith("<G>$", StringComparison.Ordinal)))
    {
        ParameterInfo receiver = group.GetNestedTypes(BindingFlags.Public | BindingFlags.NonPublic).SelectMany(t => t.GetMethods(BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.DeclaredOnly)).First().GetParameters()[0];
        string block = $"extension({receiver.ParameterType.Name}{(string.IsNullOrEmpty(receiver.Name) ? "" : " " + receiver.Name)})";
        List<string> members = [];
        foreach (MemberInfo member in group.GetMembers(BindingFlags.Public | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly).Where(m => m is PropertyInfo or MethodInfo { IsSpecialName: false }))
        {
            string compiled = member is PropertyInfo ? "get_" + member.Name : member.Name;
            string text = File.ReadAllText(page);
            Match item = Regex.Match(text, $@"^- uid: ({Regex.Escape(type.FullName!)}\.{compiled}(\([^\n]*\))?)\n.*?(?=^- uid: |^references:)", RegexOptions.Singleline | RegexOptions.Multiline);
            if (!item.Success)
            {
                throw new InvalidOperationException($"{page} has no member {compiled}");
            }

            string changed = item.Value;
            if (member is PropertyInfo property)
            {
                bool isStatic = property.GetMethod!.IsStatic;
                changed = Regex.Replace(changed, @"get_([A-Za-z]+)\([A-Za-z. ]*\)", "$1");
                changed = Regex.Replace(changed, $@"^(  id: |  name: |  nameWithType: |  fullName: )(.*)\bget_{member.Name}.*$", $"$1$2{member.Name}", RegexOptions.Multiline);
                changed = Regex.Replace(changed, "^  overload: .*\n", "", RegexOptions.Multiline);
                changed = Regex.Replace(changed, "^  type: Method$", "  type: Property", RegexOptions.Multiline);
                changed = Regex.Replace(changed, "^    parameters:\n(    - .*\n(      .*\n)*)+", "", RegexOptions.Multiline);
                changed = Regex.Replace(changed, "^    content: .*$", $"    content: '{block} {{ public {(isStatic ? "static " : "")}{Name(property.PropertyType)} {member.Name} {{ get; }} }}'", RegexOptions.Multiline);
            }
            else
            {
                changed = Regex.Replace(changed, "^    content: (?!')(.*)$", $"    content: '{block} {{ $1 }}'", RegexOptions.Multiline);
            }

            changed = changed.Replace(item.Groups[1].Value, $"{type.FullName}.{member.Name}", StringComparison.Ordinal);
            File.WriteAllText(page, text.Replace(item.Value, changed, StringComparison.Ordinal).Replace($"  - {item.Groups[1].Value}\n", $"  - {type.FullName}.{member.Name}\n", StringComparison.Ordinal));
            extensions.Add($"{type.FullName}.{member.Name}", receiver.ParameterType.FullName!);
            members.Add($"<xref href=\"{type.FullName}.{member.Name}\"></xref>");
        }

        // Among the receiver's remarks, where who looks for the member reads.
        string extended = Path.Combine(stage, "api", receiver.ParameterType.FullName + ".yml");
        File.WriteAllText(extended, WithRemark(File.ReadAllText(extended), $"Extension members: {string.Join(", ", members)}."));
    }
}

// A remark added to the first item of a page, in whichever form of YAML the remarks there are written.
static string WithRemark(string page, string remark)
{
    int end = page.IndexOf("\n- uid: ", page.IndexOf("- uid: ", StringComparison.Ordinal) + 1, StringComparison.Ordinal);
    string item = page[..end];
    Match had = Regex.Match(item, "^  remarks: (.*)\n((?:    .*\n|\n)*)", RegexOptions.Multiline);
    string text = had.Groups[1].Value.Trim();
    string all = had.Success switch
    {
        false => $"'{remark}'\n",
        _ when text.StartsWith('>') || text.StartsWith('|') => $"{text}\n{had.Groups[2].Value.TrimEnd('\n')}\n\n    {remark}\n",
        _ when text.StartsWith('"') => $"{text[..^1]} {remark.Replace("\"", "\\\"", StringComparison.Ordinal)}\"\n",
        _ when text.StartsWith('\'') => $"{text[..^1]} {remark}'\n",
        _ => $"'{text.Replace("'", "''", StringComparison.Ordinal)} {remark}'\n",
    };
    Match place = had.Success ? had : Regex.Match(item, "(?<=^  namespace: .*\n)", RegexOptions.Multiline);
    return item[..place.Index] + "  remarks: " + all + item[(place.Index + place.Length)..] + page[end..];
}

static string Name(Type type) => type == typeof(string) ? "string" : type.Name;

// Every public type has a page and every public member a place on it: a new form of declaration that docfx passes over shows here.
int Check()
{
    HashSet<string> known = [.. Regex.Matches(File.ReadAllText(Path.Combine(site, "xrefmap.yml")), "^- uid: '?([^\n']+)'?$", RegexOptions.Multiline).Select(m => Plain(m.Groups[1].Value))];
    List<string> missing = [];
    int types = 0, members = 0;
    foreach (Type type in assemblies.SelectMany(a => a.GetExportedTypes()).Where(t => !t.FullName!.Contains('<', StringComparison.Ordinal)))
    {
        types++;
        string page = type.FullName!.Replace('+', '.');
        if (!File.Exists(Path.Combine(site, "api", page.Replace('`', '-') + ".html")))
        {
            missing.Add("type " + page);
        }

        foreach (MemberInfo member in type.GetMembers(BindingFlags.Public | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly).Where(m => IsWritten(type, m)))
        {
            members++;
            if (!known.Contains(Plain($"{page}.{(member is ConstructorInfo ? "#ctor" : member.Name)}")) && !extensions.ContainsKey($"{page}.{member.Name.Replace("get_", "", StringComparison.Ordinal)}"))
            {
                missing.Add($"member {page}.{member.Name}");
            }
        }
    }

    foreach ((string member, string receiver) in extensions)
    {
        string name = member[(member.LastIndexOf('.') + 1)..];
        string page = File.ReadAllText(Path.Combine(site, "api", member[..member.LastIndexOf('.')] + ".html"));
        string extended = File.ReadAllText(Path.Combine(site, "api", receiver + ".html"));
        if (!Regex.IsMatch(page, $@"\n  {name}(\n|\()") || !page.Contains("extension(", StringComparison.Ordinal) || !Regex.IsMatch(extended, $@"Extension members:.*>{name}[<(]"))
        {
            missing.Add("extension member " + member);
        }
    }

    missing.ForEach(Console.Error.WriteLine);
    Console.WriteLine($"{types} types, {members} members, {extensions.Count} extension members, {missing.Count} missing: {Path.Combine(site, "index.html")}");
    return missing.Count == 0 && extensions.Count != 0 ? 0 : 1;
}

// What somebody wrote: not accessors, nested types (which have pages of their own) and what the compiler adds to records, enums and delegates.
static bool IsWritten(Type type, MemberInfo member) =>
    member is not Type && !member.IsDefined(typeof(CompilerGeneratedAttribute)) && !type.IsSubclassOf(typeof(Delegate))
    && (member is not MethodBase { IsSpecialName: true } method || method is ConstructorInfo || method.Name.StartsWith("op_", StringComparison.Ordinal))
    && !(member is ConstructorInfo { IsStatic: true }) && member.Name is not ("value__" or "<Clone>$")
    && !(member is ConstructorInfo constructor && constructor.GetParameters().Length == 0);

static string Plain(string uid) => Regex.Replace(Regex.Replace(uid, @"\(.*$", ""), "``[0-9]+", "");

static void CopyAll(string from, string to, params string[] patterns)
{
    Directory.CreateDirectory(to);
    foreach (string file in patterns.SelectMany(pattern => Directory.GetFiles(from, pattern)))
    {
        File.Copy(file, Path.Combine(to, Path.GetFileName(file)), overwrite: true);
    }
}

void Run(params string[] args)
{
    using Process process = Process.Start(new ProcessStartInfo("dotnet", args) { WorkingDirectory = root })!;
    process.WaitForExit();
    if (process.ExitCode != 0)
    {
        Console.Error.WriteLine($"dotnet {string.Join(' ', args)}: exit code {process.ExitCode}");
        Environment.Exit(process.ExitCode);
    }
}
