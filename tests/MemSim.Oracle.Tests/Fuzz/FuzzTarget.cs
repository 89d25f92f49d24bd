using System.Text;
using MemSim.Captures;

namespace MemSim.Oracle.Tests.Fuzz;

/// <summary>A reader, real files that it reads, and what it may throw.</summary>
internal abstract class FuzzTarget : IDisposable
{
    protected FuzzTarget(string name, int inputs)
    {
        Name = name;
        Inputs = inputs;
    }

    public string Name { get; }

    /// <summary>Inputs in a run of the tests: a few seconds.</summary>
    public int Inputs { get; }

    /// <summary>What the reader's documentation says it throws, besides <see cref="InputFileException"/>.</summary>
    public Func<Exception, bool> Documented { get; init; } = _ => false;

    /// <summary>Reads the damaged input of a number.</summary>
    public abstract void Read(Random random);

    public virtual void Dispose()
    {
    }

    /// <summary>The first lines of a file, unpacked.</summary>
    protected static byte[] Head(string path, int lines)
    {
        using StreamReader text = InputFile.OpenText(path);
        StringBuilder head = new();
        for (int i = 0; i < lines && text.ReadLine() is { } line; i++)
        {
            head.Append(line).Append('\n');
        }

        return Encoding.UTF8.GetBytes(head.ToString());
    }
}

/// <summary>A reader of bytes.</summary>
internal sealed class BytesTarget(string name, int inputs, byte[][] seeds, Action<byte[]> read) : FuzzTarget(name, inputs)
{
    public static BytesTarget OfFiles(string name, int inputs, int lines, Action<byte[]> read, params string[] paths) => new(name, inputs, [.. paths.Select(p => Head(p, lines))], read);

    public override void Read(Random random) => read(InputMutator.Damage(random, seeds[random.Next(seeds.Length)], seeds[random.Next(seeds.Length)]));
}

/// <summary>A reader of a folder, one file of which is damaged or missing at a time.</summary>
internal sealed class FolderTarget : FuzzTarget
{
    private readonly string _root = Directory.CreateTempSubdirectory("memsim-fuzz-").FullName;
    private readonly List<(string Folder, List<(string Path, byte[] Content)> Files)> _folders = [];
    private readonly Action<string> _read;

    public FolderTarget(string name, int inputs, int lines, Action<string> read, params string[] sources)
        : base(name, inputs)
    {
        _read = read;
        foreach (string source in sources)
        {
            string folder = Path.Combine(_root, _folders.Count.ToString(), Path.GetFileName(source));
            List<(string, byte[])> files = [];
            foreach (string file in Directory.GetFiles(source, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal))
            {
                string copy = Path.Combine(folder, Path.GetRelativePath(source, file));
                Directory.CreateDirectory(Path.GetDirectoryName(copy)!);
                byte[] content = file.Contains("kpageflags", StringComparison.Ordinal) ? File.ReadAllBytes(file) : Head(file, lines);
                File.WriteAllBytes(copy, content);
                files.Add((copy, content));
            }

            _folders.Add((folder, files));
        }
    }

    public override void Read(Random random)
    {
        (string folder, List<(string Path, byte[] Content)> files) = _folders[random.Next(_folders.Count)];
        (string path, byte[] content) = files[random.Next(files.Count)];
        switch (random.Next(30))
        {
            case 0:
                File.Delete(path);
                break;
            case 1:
                File.WriteAllBytes(path, InputMutator.DamagePacked(random, content));
                break;
            default:
                File.WriteAllBytes(path, content.Length == 0 ? content : InputMutator.Damage(random, content, files[random.Next(files.Count)].Content));
                break;
        }

        try
        {
            _read(folder);
        }
        finally
        {
            File.WriteAllBytes(path, content);
        }
    }

    public override void Dispose()
    {
        Directory.Delete(_root, recursive: true);
        base.Dispose();
    }
}
