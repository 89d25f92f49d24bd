using FluentAssertions;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;
using Xunit;

namespace MemSim.Tests.House;

/// <summary>Pointers, and whatever else the runtime does not check, are in the files of one table; the sources are read to hold it.</summary>
public sealed class UncheckedFileTests
{
    private const int MostFilesWithPointers = 9;

    // What of these types looks at nothing; their other members check, or only say how large something is.
    private static readonly Dictionary<string, string[]> Harmless = new()
    {
        ["Unsafe"] = ["SizeOf"],
        ["MemoryMarshal"] = ["AsBytes", "Cast", "AsRef", "Read", "Write", "TryRead", "TryWrite"],
        ["NativeMemory"] = [],
        ["Marshal"] = ["GetLastPInvokeError", "GetLastSystemError", "GetPInvokeErrorMessage"],
    };

    private static readonly Lazy<List<(string File, bool Pointers, bool Others)>> Found = new(() => [.. Directory.EnumerateFiles(Source(), "*.cs", SearchOption.AllDirectories)
        .Select(file => (File: Path.GetRelativePath(Source(), file).Replace('\\', '/'), Text: file))
        .Where(file => !file.File.Split('/').Any(part => part is "obj" or "bin"))
        .Select(file => Look(file.File, File.ReadAllText(file.Text)))]);

    [Fact]
    public void Pointers_are_in_few_files_each_with_its_reason()
    {
        string.Join('\n', Found.Value.Where(file => file.Pointers && !UncheckedFiles.Pointers.ContainsKey(file.File)).Select(file => $"{file.File} has pointers")).Should().BeEmpty("a type that owns memory has them, or the table says why");
        UncheckedFiles.Pointers.Keys.Except(Found.Value.Where(file => file.Pointers).Select(file => file.File)).Should().BeEmpty("a file that needs none any more is taken out of the table");
        UncheckedFiles.Pointers.Should().HaveCountLessThanOrEqualTo(MostFilesWithPointers);
    }

    [Fact]
    public void What_else_is_unchecked_is_in_few_files_each_with_its_reason()
    {
        string.Join('\n', Found.Value.Where(file => file.Others && !UncheckedFiles.Pointers.ContainsKey(file.File) && !UncheckedFiles.Others.ContainsKey(file.File)).Select(file => $"{file.File} reaches past a check of the runtime")).Should().BeEmpty();
        UncheckedFiles.Others.Keys.Except(Found.Value.Where(file => file.Others && !file.Pointers).Select(file => file.File)).Should().BeEmpty("a file that needs it no more is taken out of the table");
        UncheckedFiles.Pointers.Values.Concat(UncheckedFiles.Others.Values).Should().OnlyContain(reason => reason.Length > 20 && reason.EndsWith('.'), "each file has a sentence of reason");
    }

    [Fact]
    public void Each_file_with_pointers_says_why_they_are_in_range()
    {
        IEnumerable<string> silent = UncheckedFiles.Pointers.Keys.Where(file => File.ReadAllText(Path.Combine(Source(), file)) is var text
            && !(text.Contains("In range", StringComparison.OrdinalIgnoreCase) && text.Contains("Debug.Assert(", StringComparison.Ordinal)));

        string.Join('\n', silent).Should().BeEmpty("the proof stands beside the pointer, in words and as something that is looked at");
    }

    [Theory]
    [InlineData("unsafe struct S { int* P; }", true, false)]
    [InlineData("class C { void M(int[] a) { unsafe { fixed (int* p = a) { } } } }", true, true)]
    [InlineData("class C { void M(int[] a) => System.Runtime.InteropServices.MemoryMarshal.GetArrayDataReference(a) = 1; }", false, true)]
    [InlineData("class C { int M(object o) => Unsafe.As<string>(o).Length + Unsafe.SizeOf<int>(); }", false, true)]
    [InlineData("using static System.Runtime.CompilerServices.Unsafe; class C { }", false, true)]
    [InlineData("partial class C { [LibraryImport(\"libc\")] private static partial int getpid(); }", false, true)]
    [InlineData("class C { [SkipLocalsInit] void M() { } }", false, true)]
    [InlineData("// unsafe, Unsafe.As\nclass C { string Text => \"unsafe Unsafe.As\"; int M(System.ReadOnlySpan<byte> s) => MemoryMarshal.Cast<byte, int>(s).Length + Unsafe.SizeOf<int>(); }", false, false)]
    public void What_is_unchecked_is_seen(string text, bool pointers, bool others)
    {
        (_, bool hasPointers, bool hasOthers) = Look("C.cs", text);

        hasPointers.Should().Be(pointers);
        hasOthers.Should().Be(others);
    }

    private static string Source() => Path.GetFullPath(Path.Combine(SourceTree.TestFolder(), "..", "..", "src"));

    private static (string File, bool Pointers, bool Others) Look(string file, string text)
    {
        SyntaxNode root = CSharpSyntaxTree.ParseText(text, new CSharpParseOptions(LanguageVersion.Preview, DocumentationMode.None)).GetRoot();
        bool pointers = root.DescendantTokens().Any(token => token.IsKind(SyntaxKind.UnsafeKeyword));
        bool others = root.DescendantTokens().Any(token => token.IsKind(SyntaxKind.FixedKeyword) || token.IsKind(SyntaxKind.IdentifierToken) && IsUnchecked(token));
        return (file, pointers, others);
    }

    private static bool IsUnchecked(SyntaxToken name)
    {
        if (name.Text is "LibraryImport" or "DllImport" or "UnsafeAccessor" or "SkipLocalsInit")
        {
            return true;
        }

        if (!Harmless.TryGetValue(name.Text, out string[]? harmless))
        {
            return false;
        }

        // The member named behind the type; a type that is named alone (using static, an alias) lets all of them in.
        SyntaxNode named = name.Parent!;
        named = named.Parent is MemberAccessExpressionSyntax whole && whole.Name == named ? whole : named;
        return named.Parent is not MemberAccessExpressionSyntax access || access.Expression != named || !harmless.Contains(access.Name.Identifier.Text);
    }
}
