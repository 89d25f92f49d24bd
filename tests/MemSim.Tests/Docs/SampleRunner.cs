using System.Reflection;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;

namespace MemSim.Tests.Docs;

/// <summary>Compiles programs of the documentation, those that <c>dotnet run FILE.cs</c> runs, and runs them inside the test: what they print is their answer.</summary>
internal static class SampleRunner
{
    // A type of this name in the global namespace goes before System.Console: tests beside this one go on printing where they did.
    private const string ConsoleOfTheProgram = """
        internal static class Console
        {
            internal static readonly System.IO.StringWriter Printed = new() { NewLine = "\n" };
            public static System.IO.TextWriter Out => Printed;
            public static void Write(object? value) => Printed.Write(value);
            public static void WriteLine() => Printed.WriteLine();
            public static void WriteLine(object? value) => Printed.WriteLine(value);
        }
        """;

    private const string ImplicitUsings = "global using System; global using System.Collections.Generic; global using System.IO; global using System.Linq; global using System.Threading; global using System.Threading.Tasks;";

    private static readonly Lazy<IReadOnlyList<MetadataReference>> References = new(() => [.. ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!).Split(Path.PathSeparator).Select(path => MetadataReference.CreateFromFile(path))]);

    /// <summary>What the program prints. One that ends with an exception ends with the line that the runtime prints of it.</summary>
    public static string Run(string program, string name)
    {
        Assembly assembly = Compile(program, name);
        string end = "";
        try
        {
            assembly.EntryPoint!.Invoke(null, assembly.EntryPoint.GetParameters().Length == 0 ? null : [Array.Empty<string>()]);
        }
        catch (TargetInvocationException e)
        {
            end = $"Unhandled exception. {e.InnerException!.GetType().FullName}: {e.InnerException.Message}\n";
        }

        object printed = assembly.GetType("Console")!.GetField("Printed", BindingFlags.NonPublic | BindingFlags.Static)!.GetValue(null)!;
        return printed.ToString()!.ReplaceLineEndings("\n") + end;
    }

    private static Assembly Compile(string program, string name)
    {
        // Lines such as #:project are for the SDK; the compiler need not see them.
        string code = string.Join('\n', program.Split('\n').Select(line => line.StartsWith("#:", StringComparison.Ordinal) ? "" : line));
        SyntaxTree[] trees = [Parse(code, name + ".cs"), Parse(ConsoleOfTheProgram, "Console.cs"), Parse(ImplicitUsings, "Usings.cs")];
        CSharpCompilationOptions options = new(OutputKind.ConsoleApplication, nullableContextOptions: NullableContextOptions.Enable, optimizationLevel: OptimizationLevel.Release);
        CSharpCompilation compilation = CSharpCompilation.Create("Sample-" + name, trees, References.Value, options);
        using MemoryStream image = new();
        Microsoft.CodeAnalysis.Emit.EmitResult result = compilation.Emit(image);
        if (!result.Success)
        {
            throw new InvalidOperationException(string.Join('\n', result.Diagnostics.Where(d => d.Severity == DiagnosticSeverity.Error)));
        }

        return Assembly.Load(image.ToArray());
    }

    private static SyntaxTree Parse(string code, string path) => CSharpSyntaxTree.ParseText(code, CSharpParseOptions.Default.WithLanguageVersion(LanguageVersion.Latest), path);
}
