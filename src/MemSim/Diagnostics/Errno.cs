namespace MemSim;

/// <summary>Why a system call failed, by the kernel's names and numbers.</summary>
public enum Errno
{
    /// <summary>It did not fail.</summary>
    None = 0,

    /// <summary>Not permitted.</summary>
    EPERM = 1,

    /// <summary>No such file.</summary>
    ENOENT = 2,

    /// <summary>No such process.</summary>
    ESRCH = 3,

    /// <summary>Interrupted before it was done.</summary>
    EINTR = 4,

    /// <summary>Input or output failed.</summary>
    EIO = 5,

    /// <summary>No such device or address.</summary>
    ENXIO = 6,

    /// <summary>Bad file descriptor.</summary>
    EBADF = 9,

    /// <summary>No child process.</summary>
    ECHILD = 10,

    /// <summary>Try again: a limit on locked memory is reached, or something is in use.</summary>
    EAGAIN = 11,

    /// <summary>No memory, no address space, or an unmapped page in the range.</summary>
    ENOMEM = 12,

    /// <summary>The protection clashes with the mode of the file.</summary>
    EACCES = 13,

    /// <summary>Bad address.</summary>
    EFAULT = 14,

    /// <summary>In use.</summary>
    EBUSY = 16,

    /// <summary>Something is mapped there.</summary>
    EEXIST = 17,

    /// <summary>The file cannot be mapped.</summary>
    ENODEV = 19,

    /// <summary>The arguments make no sense.</summary>
    EINVAL = 22,

    /// <summary>The file would become too large.</summary>
    EFBIG = 27,

    /// <summary>No space.</summary>
    ENOSPC = 28,

    /// <summary>The file system can only be read.</summary>
    EROFS = 30,

    /// <summary>The name is too long.</summary>
    ENAMETOOLONG = 36,

    /// <summary>There is no such system call.</summary>
    ENOSYS = 38,

    /// <summary>The offset does not fit.</summary>
    EOVERFLOW = 75,

    /// <summary>The memory has a hardware error.</summary>
    EHWPOISON = 133,
}

/// <summary>What a system call returned: a value, or the reason why there is none.</summary>
/// <typeparam name="T">The type of the value.</typeparam>
public readonly struct Result<T>
{
    private readonly T _value;

    /// <summary>Creates the result of a call that succeeded.</summary>
    /// <param name="value">The value.</param>
    public Result(T value) => _value = value;

    private Result(Errno error)
    {
        Error = error;
        _value = default!;
    }

    /// <summary>Why it failed; <see cref="Errno.None"/> when it did not.</summary>
    public Errno Error { get; }

    /// <summary>Whether it succeeded.</summary>
    public bool Succeeded => Error == Errno.None;

    /// <summary>The value.</summary>
    /// <exception cref="InvalidOperationException">The call failed.</exception>
    public T Value => Error == Errno.None ? _value : throw new InvalidOperationException($"the call failed with {Error}: look at Result.Error before using its value");

    /// <summary>The value of a call that succeeded.</summary>
    /// <param name="result">The result.</param>
    /// <exception cref="InvalidOperationException">The call failed.</exception>
    public static implicit operator T(Result<T> result) => result.Value;

    /// <summary>The result of a call that succeeded.</summary>
    /// <param name="value">The value.</param>
    public static implicit operator Result<T>(T value) => new(value);

    /// <summary>The result of a call that failed.</summary>
    /// <param name="error">Why.</param>
    public static implicit operator Result<T>(Errno error) => new(error);

    /// <summary>The value, or <c>-ENOMEM</c> and the like.</summary>
    public override string ToString() => Error == Errno.None ? $"{_value}" : $"-{Error}";
}
